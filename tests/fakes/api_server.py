"""The API as the command line sees it, over real HTTP, with its state in memory.

It defines the shapes where the interface is silent: lists are newest first and come in pages,
`runs?active=1` are those that have not ended, `HEAD uploads/<hash>` is 404 without the upload, logs
are NDJSON that ends when there are no more lines and, followed, when the run has ended.
A run takes the next of its `steps` with every look at it.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apps.specs import parse
from apps.specs.errors import SpecError

Json = dict[str, Any]
TOKEN = "dsk_u_" + "a" * 33
FINAL = ("stopped", "failed")
CREATED = "2020-01-01T00:00:00Z"


class ApiError(Exception):
    """An answer that is an error of the API."""

    def __init__(self, status: int, code: str, message: str, details: list[Json] | None = None):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "details": details or []}}


@dataclass
class FakeRun:
    """A run's JSON, the states it is still going to take, and its log."""

    data: Json
    steps: list[Json] = field(default_factory=list)
    lines: list[Json] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        return self.data["state"] in FINAL

    def log(self, *texts: str, replica: int = 0) -> None:
        for text in texts:
            cursor = str(len(self.lines) + 1)
            self.lines.append({"time": CREATED, "replica": replica, "text": text, "cursor": cursor})


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any


@dataclass
class FakeApi:
    """The server's state; tests arrange it and look at `seen`."""

    url: str = ""
    page: int = 50
    upload_limit_bytes: int = 512 * 2**20
    # Answers instead of any route, for one request each.
    interruptions: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    # How many log lines a connection brings before it breaks.
    break_logs_after: int | None = None
    plan_changes: Json = field(default_factory=dict)
    steps: list[Json] = field(default_factory=lambda: [replica_step("running")])
    first_lines: list[str] = field(default_factory=list)
    runs: dict[str, FakeRun] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    tokens: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    gateways: list[Json] = field(default_factory=list)
    offers: list[Json] = field(default_factory=lambda: [local_offer()])
    seen: list[Seen] = field(default_factory=list)

    def add_run(self, name: str, state: str = "running", **changes: Any) -> FakeRun:
        run = FakeRun(run_json(name, state=state, **changes))
        self.runs[name] = run
        return run

    def run(self, name: str) -> FakeRun:
        if name not in self.runs:
            raise ApiError(404, "not_found", f"There is no run {name!r} in project main.")
        return self.runs[name]

    def bodies(self, method: str, suffix: str) -> list[Any]:
        """What was sent to paths with this end."""
        return [s.body for s in self.seen if s.method == method and s.path.endswith(suffix)]


def drop(handler: BaseHTTPRequestHandler) -> None:
    """An interruption: the connection ends without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def says(status: int, text: str, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """An interruption: an answer that is not of the API."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def local_offer(**changes: Any) -> Json:
    return {
        "backend": "local",
        "region": "local",
        "instance": "my-host",
        "resources": "2xCPU, 8GB, 100GB (disk)",
        "spot": False,
        "price_usd_per_hour": 0.0,
        "availability": "available",
        **changes,
    }


def replica_json(num: int = 0, state: str = "running", **changes: Any) -> Json:
    return {
        "num": num,
        "state": state,
        "backend": "local",
        "region": "local",
        "instance": "my-host",
        "resources": "2xCPU, 8GB, 100GB (disk)",
        "spot": False,
        "price_usd_per_hour": 0.0,
        "version": 1,
        "phase": "",
        "started_at": CREATED,
        **changes,
    }


def replica_step(state: str, *, replica: str = "", **changes: Any) -> Json:
    """A change of a run with one replica."""
    return {"state": state, "replicas": [replica_json(state=replica or state)], **changes}


def run_json(name: str, *, state: str, **changes: Any) -> Json:
    return {
        "name": name,
        "project": "main",
        "state": state,
        "url": f"http://{name}.localhost:8080",
        "model_url": None,
        "version": 1,
        "replicas_wanted": 1,
        "replicas": [] if state == "submitted" else [replica_json(state=state)],
        "price_usd_per_hour": 0.0,
        "cost_usd": 0.0,
        "error": "",
        "last_lines": [],
        "created_at": CREATED,
        **changes,
    }


@contextmanager
def running(api: FakeApi) -> Iterator[FakeApi]:
    """This function will serve the API on a free port of this machine."""

    class Handler(_Handler):
        fake = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _serve(self) -> None:
        if self.fake.interruptions:
            self.fake.interruptions.pop(0)(self)
            return
        parts = urlsplit(self.path)
        try:
            body = self._body(parts.path)
            seen = Seen(self.command, parts.path, parse_qs(parts.query), body)
            self.fake.seen.append(seen)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise ApiError(401, "not_signed_in", "This token is not known here.")
            self._route(seen)
        except ApiError as error:
            self.close_connection = self.command == "POST"
            self.answer(error.status, error.body)

    def _body(self, path: str) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        if not path.endswith("/uploads"):
            return json.loads(self.rfile.read(length)) if length else None
        if length > self.fake.upload_limit_bytes:
            limit = self.fake.upload_limit_bytes
            raise ApiError(413, "too_large", f"The upload is larger than {limit} bytes.")
        return self.rfile.read(length)

    def _route(self, seen: Seen) -> None:
        for method, pattern, handle in _ROUTES:
            found = re.fullmatch(pattern, seen.path)
            if found and method == seen.method:
                result = handle(self.fake, seen, *found.groups())
                if isinstance(result, _Log):
                    self._stream(result)
                else:
                    self.answer(*result)
                return
        raise ApiError(404, "not_found", "There is no such page.")

    def _stream(self, log: _Log) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for count, line in enumerate(log.lines(), start=1):
            if self.fake.break_logs_after is not None and count > self.fake.break_logs_after:
                self.fake.break_logs_after = None
                self.wfile.write(b'{"time": "2030-')
                return
            self.wfile.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self.wfile.flush()


@dataclass
class _Log:
    run: FakeRun
    query: dict[str, list[str]]

    def lines(self) -> Iterator[Json]:
        at = int(self.query.get("cursor", ["0"])[0])
        while True:
            ended = self.run.has_ended
            new = self.run.lines[at:]
            at += len(new)
            yield from (line for line in new if self._wanted(line))
            if "follow" not in self.query or (ended and not new):
                return
            self.run.data.update(self.run.steps.pop(0) if self.run.steps else {})
            time.sleep(0.01)

    def _wanted(self, line: Json) -> bool:
        replica = self.query.get("replica")
        found = replica is None or replica == [str(line["replica"])]
        return found and self.query.get("grep", [""])[0] in line["text"]


def _me(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    projects = [{"name": "main", "role": "admin"}]
    return 200, {"username": "admin", "is_admin": True, "projects": projects}


def _validate(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    try:
        spec = parse.parse(seen.body["configuration"]).to_json()
    except SpecError as error:
        return 200, {"valid": False, "spec": None, "errors": _details(error)}
    return 200, {"valid": True, "spec": spec, "errors": []}


def _plan(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    try:
        spec = parse.parse(seen.body["configuration"])
        spec = parse.apply_overrides(spec, seen.body["overrides"])
    except SpecError as error:
        raise ApiError(422, "invalid", str(error.problems[0]), _details(error)) from error
    name = seen.body["name"] or spec.name or "yellow-cat-1"
    current = fake.runs.get(name)
    return 200, {
        "plan_id": "plan-1",
        "name": name,
        "project": "main",
        "user": "admin",
        "action": "replace" if current and not current.has_ended else "create",
        "current": current.data if current and not current.has_ended else None,
        "spec": spec.to_json(),
        "offers": fake.offers,
        "total_offers": len(fake.offers),
        "max_price_usd_per_hour": max(
            (one["price_usd_per_hour"] for one in fake.offers), default=None
        ),
        "url": f"http://{name}.localhost:8080",
        "warnings": [],
        **fake.plan_changes,
    }


def _submit(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    if seen.body["plan_id"] != "plan-1":
        raise ApiError(409, "conflict", "The run changed since it was planned.")
    if seen.body["upload"] not in fake.uploads:
        raise ApiError(422, "invalid", "There is no such upload.")
    run = fake.add_run(seen.body["name"], "submitted")
    run.steps = list(fake.steps)
    run.log(*fake.first_lines)
    return 201, run.data


def _runs(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    runs = [run.data for run in reversed(fake.runs.values())]
    if "active" in seen.query:
        runs = [run for run in runs if run["state"] not in FINAL]
    return _page(fake, seen, runs)


def _run(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    run = fake.run(name)
    if run.steps:
        run.data.update(run.steps.pop(0))
    return 200, run.data


def _delete_run(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    if not fake.run(name).has_ended:
        raise ApiError(409, "conflict", f"Run {name} has not ended: stop it first.")
    del fake.runs[name]
    return 204, None


def _stop(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    run = fake.run(name)
    run.data["state"] = "stopping"
    run.steps = [{"state": "stopping"}, {"state": "stopped", "replicas": []}]
    return 200, run.data


def _scale(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    try:
        replicas = parse.parse_replicas(seen.body["replicas"])
    except SpecError as error:
        raise ApiError(422, "invalid", str(error), _details(error)) from error
    fake.run(name).data["replicas_wanted"] = replicas.min
    return 200, fake.run(name).data


def _logs(fake: FakeApi, seen: Seen, name: str) -> _Log:
    return _Log(fake.run(name), seen.query)


def _events(fake: FakeApi, seen: Seen, name: str | None = None) -> tuple[int, Any]:
    return _page(fake, seen, [e for e in fake.events if name in (None, e["run"])])


def _offers(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    shown = fake.offers[: int(seen.query["limit"][0])]
    return 200, {
        "items": shown,
        "next_cursor": None,
        "total_offers": len(fake.offers),
        "max_price_usd_per_hour": max(one["price_usd_per_hour"] for one in fake.offers),
    }


def _has_upload(fake: FakeApi, seen: Seen, digest: str) -> tuple[int, Any]:
    return (200 if digest in fake.uploads else 404), None


def _upload(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    digest = hashlib.sha256(seen.body).hexdigest()
    fake.uploads[digest] = seen.body
    return 201, {"hash": digest, "size_bytes": len(seen.body)}


def _tokens(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    return _page(fake, seen, fake.tokens)


def _create_token(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    made = {
        "id": len(fake.tokens) + 1,
        **{key: seen.body[key] for key in ("name", "scope", "project", "runs")},
        "kind": "s" if seen.body["runs"] else "u",
        "prefix": "dsk_u_abcd",
        "created_at": CREATED,
        "expires_at": None,
        "last_used_at": None,
    }
    fake.tokens.insert(0, made)
    return 201, {**made, "token": "dsk_u_the-whole-token"}


def _revoke_token(fake: FakeApi, seen: Seen, key: str) -> tuple[int, Any]:
    fake.tokens = [one for one in fake.tokens if str(one["id"]) != key]
    return 204, None


def _gateways(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    return _page(fake, seen, fake.gateways)


def _page(fake: FakeApi, seen: Seen, items: list[Json]) -> tuple[int, Any]:
    limit = min(int(seen.query.get("limit", ["50"])[0]), fake.page)
    start = int(seen.query.get("cursor", ["0"])[0])
    end = start + limit
    cursor = str(end) if end < len(items) else None
    return 200, {"items": items[start:end], "next_cursor": cursor}


def _details(error: SpecError) -> list[Json]:
    return [
        {"path": p.path, "line": p.line, "column": p.column, "message": p.message}
        for p in error.problems
    ]


_MAIN = "/api/projects/main"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "/api/users/me", _me),
    ("POST", "/api/specs/validate", _validate),
    ("GET", "/api/tokens", _tokens),
    ("POST", "/api/tokens", _create_token),
    ("DELETE", "/api/tokens/(.+)", _revoke_token),
    ("HEAD", f"{_MAIN}/uploads/(.+)", _has_upload),
    ("POST", f"{_MAIN}/uploads", _upload),
    ("POST", f"{_MAIN}/runs/plan", _plan),
    ("POST", f"{_MAIN}/runs", _submit),
    ("GET", f"{_MAIN}/runs", _runs),
    ("GET", f"{_MAIN}/events", _events),
    ("GET", f"{_MAIN}/offers", _offers),
    ("GET", f"{_MAIN}/gateways", _gateways),
    ("GET", f"{_MAIN}/runs/([^/]+)/logs", _logs),
    ("GET", f"{_MAIN}/runs/([^/]+)/events", _events),
    ("POST", f"{_MAIN}/runs/([^/]+)/stop", _stop),
    ("POST", f"{_MAIN}/runs/([^/]+)/scale", _scale),
    ("GET", f"{_MAIN}/runs/([^/]+)", _run),
    ("DELETE", f"{_MAIN}/runs/([^/]+)", _delete_run),
]
