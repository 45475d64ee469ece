"""A caller's token is in nothing that a replica sees, in no log, no answer and no row.

Every way in is tried with good, foreign, narrow and mistyped tokens; then the bytes that the
replicas were sent, all answers, every log of the server, PostgreSQL and Valkey are searched for any
of the tokens, whole or in part, plain or in base64.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import string
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from dstack_web.embedded.attach import attach
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually

pytestmark = pytest.mark.timeout(240)

RECORDER = Path(__file__).parent / "recorder" / "recorder.py"
SERVICES = {
    "plain": "rate_limits: [{prefix: /limited, rps: 0.02}]",
    "asleep": "replicas: 0..1\nscaling: {metric: rps, target: 10}",
    "chat": "model: {name: chat, format: openai}",
    "tgi": "model:\n  name: tgi\n  format: tgi\n  eos_token: x\n"
    "  chat_template: '{% for m in messages %}{{ m.content }}{% endfor %}'",
}
LARGE = "x" * 200_000
# Enough of a token to find it by, were it cut short.
PART = 16
SHAPES = (
    "Authorization: Bearer {}",
    "authorization: bearer {}",
    "AUTHORIZATION: BEARER  {}  ",
    "Authorization: Bearer\t{}",
    'Authentication: "Bearer {}"',
    "authentication: Bearer {}",
    "Authorization: Bearer {}\r\nAuthorization: Bearer {}",
    'Authorization: Bearer {}\r\nAuthentication: "Bearer {}"',
    "Authorization: Bearer x\r\nAuthentication: Bearer {}",
    "Authorization: Basic {}",
    "Authorization: {}",
    "Authorization: Bearer {} and more",
    "Authorization: Bearer {},{}",
    "Authorization : Bearer {}",
    "Authorization: Bearer {}\r\n  folded",
    "X-Api-Key: y\r\nAuthorization:Bearer {}",
    "Cookie: dstack_session={}; other=1\r\nAuthorization: Bearer {}",
)


@dataclass
class Callers:
    """Tokens by what they are, and all that was answered to them."""

    stack: Stack
    tokens: dict[str, str]
    answers: list[bytes] = field(default_factory=list)

    def ask(self, host: str, head: str, rest: bytes = b"", *, line: str = "GET / HTTP/1.1") -> int:
        """Send bytes as they are and return the answer's status, or 0."""
        port = self.stack.gateway_port
        text = f"{line}\r\nHost: {host}.localhost:{port}\r\nConnection: close\r\n{head}\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            sock.sendall(text.encode() + (rest or b"\r\n"))
            found = b""
            while piece := sock.recv(65_536):
                found += piece
        self.answers.append(found)
        return int(found.split(b" ", 2)[1]) if found.startswith(b"HTTP/") else 0

    def post(self, host: str, path: str, head: str, body: bytes, kind: str = "json") -> int:
        more = f"Content-Type: application/{kind}\r\nContent-Length: {len(body)}\r\n"
        line = f"POST {path} HTTP/1.1"
        return self.ask(host, f"{head}\r\n{more}".rstrip(), b"\r\n" + body, line=line)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("leaks"))
    yield running
    if running.is_alive():
        running.stop()


@pytest.fixture(scope="module")
def deployed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file in which all replicas write down what they are sent."""
    record = stacks.SEEN_BY_REPLICAS / f"dstack-test-record-{os.getpid()}-{secrets.token_hex(4)}"
    record.touch()
    record.chmod(0o666)  # each replica runs as a user of its own
    for name, more in SERVICES.items():
        folder = tmp_path_factory.mktemp(name)
        shutil.copy(RECORDER, folder)
        text = f"type: service\ncommands: [python3 recorder.py {record}]\nport: 8000\n{more}\n"
        (folder / ".dstack.yml").write_text(text)
        stack.dstack("run", ".", "-n", name, "-y", "-d", cwd=folder)
    yield record
    record.unlink()


@pytest.fixture(scope="module")
def callers(stack: Stack, deployed: Path) -> Callers:
    made = stack.api("POST", "/users", json={"username": "stranger", "password": None})
    word = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))
    one = {"name": "one", "scope": "call", "runs": ["plain"], "project": "main"}
    return Callers(
        stack,
        {
            "administrator": stack.token,
            "stranger": made["token"],
            "key of one": stack.api("POST", "/tokens", json=one)["token"],
            "mistyped": f"dsk_u_{word}",
        },
    )


@pytest.fixture(scope="module")
def record(deployed: Path, callers: Callers) -> Path:
    """The same once all callers have called."""
    call_in_every_way(callers)
    return deployed


def call_in_every_way(callers: Callers) -> None:
    for token in callers.tokens.values():
        heads = [shape.replace("{}", token) for shape in SHAPES]
        for head in heads:
            for line in ("GET / HTTP/1.1", "GET /sse HTTP/1.1", "GET /fails HTTP/1.0"):
                callers.ask("plain", head, line=line)
            callers.ask("nowhere", head)
            callers.ask("gateway", head, line="GET /v1/models HTTP/1.1")
            for model in ("chat", "tgi", "unknown"):
                ask_model(callers, head, model)
        call_by_path(callers, token)
        call_badly(callers, token)
        call_held(callers, token)
        upgrade(callers, token)
    call_until_limited(callers)


def ask_model(callers: Callers, head: str, model: str) -> None:
    messages = [{"role": "user", "content": "hi"}]
    small = {"model": model, "messages": messages}
    large = {"messages": [{"role": "user", "content": LARGE}], "model": model}
    streamed = {**small, "stream": True}
    for path in ("/v1/chat/completions", "/chat/completions"):
        callers.post("gateway", path, head, json.dumps(small).encode())
    for asked in (large, streamed):
        callers.post("gateway", "/v1/chat/completions", head, json.dumps(asked).encode())


def call_by_path(callers: Callers, token: str) -> None:
    port = callers.stack.gateway_port
    for path in ("/services/main/plain/", "/services/main/plain", "/services/main/none/"):
        url = f"http://127.0.0.1:{port}{path}"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        callers.answers.append(repr(answer.headers).encode() + answer.content)


def call_badly(callers: Callers, token: str) -> None:
    """Requests that nobody can read, bodies that are none, and a token where none belongs."""
    head = f"Authorization: Bearer {token}"
    callers.ask("plain", head, line="GET /\x01 HTTP/1.1")
    callers.ask("plain", f"{head}\r\nContent-Length: 1\r\nContent-Length: 2")
    callers.ask("plain", f"{head}\r\nBroken {token}")
    callers.ask("plain", head.replace("Bearer ", "Bearer\x00"))
    callers.ask(token, head)
    for body in (b"{", b"[]", b'{"model": 7}', b"\xff", b"{}"):
        callers.post("gateway", "/v1/chat/completions", head, body)
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nchat\r\n--b--\r\n'
    callers.post("gateway", "/v1/audio/translations", head, form, kind="x; boundary=b")


def call_held(callers: Callers, token: str) -> None:
    """Several at once wait while the service wakes, or are refused at once."""
    callers.stack.dstack("scale", "asleep", "0..1")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: callers.ask("asleep", f"Authorization: Bearer {token}"), range(3)))


def upgrade(callers: Callers, token: str) -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    more = f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nUpgrade: websocket"
    head = f"Authorization: Bearer {token}\r\nConnection: Upgrade\r\n{more}"
    text = f"GET /ws HTTP/1.1\r\nHost: plain.localhost\r\n{head}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", callers.stack.gateway_port), timeout=20) as sock:
        sock.sendall(text.encode())
        callers.answers.append(sock.recv(65_536))


def call_until_limited(callers: Callers) -> None:
    head = f"Authorization: Bearer {callers.tokens['administrator']}"
    codes = [callers.ask("plain", head, line="GET /limited/ HTTP/1.1") for _ in range(3)]
    assert 429 in codes


def test_the_ways_in_were_open(callers: Callers, record: Path) -> None:
    """Else nothing below could fail."""
    seen = record.read_bytes()
    statuses = {answer.split(b" ", 2)[1] for answer in callers.answers if b" " in answer}

    assert {b"200", b"101", b"400", b"401", b"403", b"404", b"429", b"500"} <= statuses
    for sign in (b"GET /ws ", b"GET /sse ", b"GET /fails ", b"POST /generate ", LARGE.encode()):
        assert sign in seen, sign
    assert seen.count(b"POST /generate_stream ") >= 1
    assert seen.count(b"/chat/completions ") > 10
    assert any(b"x-cold-start" in answer.lower() for answer in callers.answers)


def test_no_replica_sees_a_token(callers: Callers, record: Path) -> None:
    assert parts_in(record.read_bytes(), callers.tokens) == {}


def test_no_answer_holds_a_token(callers: Callers, record: Path) -> None:
    assert parts_in(b"\n".join(callers.answers), callers.tokens) == {}


def test_the_control_plane_says_no_token_again(stack: Stack, callers: Callers) -> None:
    """The API and the command line, with tokens good and bad, in all places."""
    said = []
    for token in callers.tokens.values():
        bearer = {"Authorization": f"Bearer {token}"}
        for path in ("/api/users/me", "/api/projects/main/runs", "/api/none", "/runs", "/metrics"):
            for query in ("", f"?token={token}", f"?access_token={token}&cursor={token}"):
                answer = httpx.get(f"{stack.url}{path}{query}", headers=bearer, timeout=30)
                if not query:
                    said.append(repr(answer.headers).encode() + answer.content)
        for body in (b"{", b'{"configuration": 7}', token.encode()):
            url = f"{stack.url}/api/projects/main/runs/plan"
            answer = httpx.post(url, content=body, headers=bearer, timeout=30)
            said.append(answer.content)
        httpx.get(f"{stack.url}/api/users/me", headers={"Cookie": f"dstack_session={token}"})
        words = ("config", "--url", stack.url, "--project", "none", "--token", token)
        said.append(stack.dstack(*words, code=None).encode())

    assert parts_in(b"\n".join(said), callers.tokens) == {}


def test_no_log_holds_a_token(stack: Stack, callers: Callers, record: Path) -> None:
    """Run after the tests before it, whose calls all logs have seen by now."""
    callers.ask("plain", f"Authorization: Bearer {stack.token}", line="GET /last HTTP/1.1")
    eventually(lambda: "GET /last" in stack.dstack("logs", "plain"), what="the last line")
    logs = {file: file.read_bytes() for file in log_files(stack)}

    assert {"web.log", "gateway.log", "agent.log"} <= {file.name for file in logs}
    leaks = {file: parts_in(text, callers.tokens) for file, text in logs.items()}
    # The first start prints the administrator's token on purpose, and nothing else does.
    assert list(leaks.pop(stack.log)) == ["administrator"]
    assert {file: found for file, found in leaks.items() if found} == {}
    for name in SERVICES:
        assert parts_in(stack.dstack("logs", name).encode(), callers.tokens) == {}


def log_files(stack: Stack) -> list[Path]:
    found = [file for file in (stack.home / "server").rglob("*.log*") if file.is_file()]
    return [*found, stack.log]


def test_no_row_holds_a_token(stack: Stack, callers: Callers, record: Path) -> None:
    environ = {"DSTACK_HOME": str(stack.home)}
    attach(environ)
    with psycopg.connect(environ["DATABASE_URL"]) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert len(tables) > 20
        for (table,) in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            text = "\n".join(row[0] for row in connection.execute(query))
            assert parts_in(text.encode(), callers.tokens) == {}, table
    url = environ["REDIS_URL"].replace("redis+socket://", "unix://")
    client = redis.Redis.from_url(url)
    dumps = [key + (client.dump(key) or b"") for key in client.scan_iter()]
    assert parts_in(b"\n".join(dumps), callers.tokens) == {}


def test_no_file_of_the_gateway_holds_a_token(stack: Stack, callers: Callers, record: Path) -> None:
    """Its table on the disk has hashes alone."""
    for file in (stack.home / "server" / "gateway").rglob("*"):
        if file.is_file():
            assert parts_in(file.read_bytes(), callers.tokens) == {}, file


def test_no_command_line_of_a_process_holds_a_token(stack: Stack, callers: Callers) -> None:
    said = subprocess.run(["ps", "-eo", "args", "-ww"], capture_output=True, check=True).stdout
    assert parts_in(said, callers.tokens) == {}


def parts_in(text: bytes, tokens: dict[str, str]) -> dict[str, list[str]]:
    """Find parts of tokens, also in base64 wherever it begins."""
    found = {}
    for name, token in tokens.items():
        secret = token.encode()
        plain = [secret[-PART:], secret[6 : 6 + PART]]
        coded = [base64.b64encode(secret[start:])[:PART] for start in range(3)]
        hits = [part.decode() for part in (*plain, *coded) if part in text]
        if hits:
            found[name] = hits
    return found
