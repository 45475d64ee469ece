"""Text to copy must run as it is, whatever a model is called."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from apps.runs.pages import snippets
from tests import programs

NAMES = ["meta/Llama", 'it\'s "quoted" $HOME', "modèle 日本 😀", "a\\b", "${x} `y`"]
SECONDS = 30


class Called:
    """A server that notes what it is sent."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, Any]] = []


@pytest.fixture
def called() -> Iterator[Called]:
    noted = Called()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(sent) if sent else None
            noted.seen.append((self.headers.get("Authorization", ""), body))
            answer = b'{"choices": [{"message": {"content": "hello"}}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    noted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield noted
    server.shutdown()
    server.server_close()
    thread.join()


def run(key: str, code: str, *, token: str | None, **more: str) -> str:
    """Run a snippet as one does who pastes it, with TOKEN exported or not."""
    commands = {
        "curl": ["sh", "-c", code],
        "python": [sys.executable, "-c", code],
        "js": ["node", "--input-type=module", "-e", code],
    }
    environ = {"PATH": os.environ["PATH"], **more, **({} if token is None else {"TOKEN": token})}
    done = subprocess.run(
        commands[key], env=environ, capture_output=True, text=True, timeout=SECONDS, check=True
    )
    return done.stdout


def needs(key: str) -> None:
    if key != "python":
        programs.require_program("node" if key == "js" else "curl", package="nodejs curl")


def test_a_snippet_of_an_open_service_needs_no_token() -> None:
    found = snippets.of_service(url="http://x", code_url="http://y", token=None, needs_token=False)

    assert found[0].code == "curl http://x"
    assert not any("Authorization" in snippet.code for snippet in found)


@pytest.mark.parametrize("needs_token", [True, False])
@pytest.mark.parametrize("made", ["dsk_s_made", None])
@pytest.mark.parametrize("key", ["curl", "python", "js"])
def test_calls_a_service_when_pasted(
    called: Called, key: str, made: str | None, needs_token: bool
) -> None:
    needs(key)
    found = snippets.of_service(
        url=called.url, code_url=called.url, token=made, needs_token=needs_token
    )

    out = run(key, {each.key: each.code for each in found}[key], token="dsk_u_exported")

    assert "hello" in out
    sent = f"Bearer {made or 'dsk_u_exported'}" if needs_token else ""
    assert called.seen == [(sent, None)]


@pytest.mark.parametrize("made", ["dsk_s_made", None])
@pytest.mark.parametrize("name", NAMES)
def test_asks_a_model_when_pasted_into_a_shell(called: Called, name: str, made: str | None) -> None:
    needs("curl")
    found = snippets.of_model(base_url=called.url, model=name, token=made)

    run("curl", {each.key: each.code for each in found}["curl"], token="dsk_u_exported")

    ((authorization, body),) = called.seen
    assert authorization == f"Bearer {made or 'dsk_u_exported'}"
    assert body["model"] == name


PYTHON_CLIENT = """
import json
from types import SimpleNamespace as of

class OpenAI:
    def __init__(self, **given):
        print(json.dumps(given))
        self.chat = of(completions=of(create=self.create))

    def create(self, **asked):
        print(json.dumps(asked))
        return of(choices=[of(message=of(content="hello"))])
"""


@pytest.mark.parametrize("made", ["dsk_s_made", None])
@pytest.mark.parametrize("name", NAMES)
def test_gives_a_client_in_python_the_key(tmp_path: Path, name: str, made: str | None) -> None:
    # The package itself is not installed: its constructor's arguments are what is ours.
    (tmp_path / "openai.py").write_text(PYTHON_CLIENT)
    found = snippets.of_model(base_url="http://x/v1", model=name, token=made)
    code = {each.key: each.code for each in found}["python"]

    out = run("python", code, token="dsk_u_exported", PYTHONPATH=str(tmp_path))

    given, asked, said = out.splitlines()
    assert json.loads(given) == {"base_url": "http://x/v1", "api_key": made or "dsk_u_exported"}
    assert (json.loads(asked)["model"], said) == (name, "hello")


@pytest.mark.parametrize("made", ["dsk_s_made", None])
@pytest.mark.parametrize("name", NAMES)
def test_gives_a_client_in_javascript_the_key(called: Called, name: str, made: str | None) -> None:
    needs("js")
    code = {
        each.key: each.code
        for each in snippets.of_model(base_url=called.url, model=name, token=made)
    }["js"]
    # The package itself is not installed: its constructor's arguments are what is ours.
    stands_in = "class OpenAI { constructor(given) { console.log(JSON.stringify(given)); } "
    stands_in += "chat = { completions: { create: async (asked) => { "
    stands_in += "console.log(JSON.stringify(asked)); "
    stands_in += 'return { choices: [{ message: { content: "hello" } }] }; } } } }'

    out = run("js", code.replace('import OpenAI from "openai";', stands_in), token="dsk_u_exported")

    given, asked, said = out.splitlines()
    assert json.loads(given) == {"baseURL": called.url, "apiKey": made or "dsk_u_exported"}
    assert (json.loads(asked)["model"], said) == (name, "hello")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_named_as_it_is(name: str) -> None:
    found = {each.key: each.code for each in snippets.of_model(base_url="b", model=name, token="t")}
    curl = shlex.split(found["curl"].replace("\\\n", " "))
    call = ast.parse(found["python"])
    texts = {n.value for n in ast.walk(call) if isinstance(n, ast.Constant)}

    assert json.loads(curl[-1])["model"] == name
    assert {name, "t", "b"} <= texts


CALL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "a\nb"},
        *({"role": "user", "content": f"{name}\u2028\x00'\"BODY\nBODY"} for name in NAMES),
    ],
    "temperature": 0.0,
    "stream": True,
    "stream_options": {"include_usage": True},
}


@pytest.mark.parametrize("made", ["dsk_s_made", None])
@pytest.mark.parametrize("length", [1, 200_000])
def test_makes_a_call_of_a_chat_when_pasted_into_a_shell(
    called: Called, length: int, made: str | None
) -> None:
    needs("curl")
    call = {**CALL, "model": "m" * length}
    found = snippets.of_call(base_url=called.url, call=call, token=made)
    code = {each.key: each.code for each in found}["curl"]

    # What is pasted is no argument of the shell's either.
    subprocess.run(
        ["sh"],
        input=code,
        env={"PATH": os.environ["PATH"], "TOKEN": "dsk_u_exported"},
        text=True,
        timeout=SECONDS,
        check=True,
        capture_output=True,
    )

    assert called.seen == [(f"Bearer {made or 'dsk_u_exported'}", call)]


def test_writes_a_call_of_a_chat_in_python() -> None:
    found = snippets.of_call(base_url="http://x", call=CALL, token="t")
    tree = ast.parse({each.key: each.code for each in found}["python"])
    made = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and len(node.keywords) == len(CALL)
    )

    assert {each.arg: ast.literal_eval(each.value) for each in made.keywords} == CALL


def test_writes_a_call_of_a_chat_in_javascript() -> None:
    needs("js")
    found = snippets.of_call(base_url="http://x", call=CALL, token=None)
    code = {each.key: each.code for each in found}["js"]
    stands_in = "class OpenAI { "
    stands_in += "chat = { completions: { create: async (asked) => { "
    stands_in += "console.log(JSON.stringify(asked)); "
    stands_in += 'return (async function* () { yield { choices: [{ delta: { content: "hi" } }] }; '
    stands_in += "yield { choices: [] }; })(); } } } }"

    out = run("js", code.replace('import OpenAI from "openai";', stands_in), token="t")

    asked, said = out.split("\n")
    assert (json.loads(asked), said) == (CALL, "hi")
