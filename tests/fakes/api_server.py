"""The API as the command line sees it, over real HTTP, with its state in memory.

It defines the shapes where the interface is silent: lists are newest first and come in pages,
`runs?active=1` are those that have not ended, `HEAD uploads/<hash>` is 404 without the upload, logs
are NDJSON that ends when there are no more lines and, followed, when the run has ended.
A run takes the next of its `steps` with every look at it.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apps.core.archive import contents
from apps.specs import parse
from apps.specs.errors import SpecError
from tests.fakes import api_backends, api_instances, api_verbs
from tests.fakes.api_log import Log
from tests.fakes.api_state import CREATED, FINAL, TOKEN, ApiError, FakeApi, Json, Seen, details


@contextmanager
def running(api: FakeApi) -> Iterator[FakeApi]:
    """Serve the API on a free port of this machine."""

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

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
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
            if self.fake.lacks and seen.path.endswith(self.fake.lacks):
                break
            if found and method == seen.method:
                result = handle(self.fake, seen, *found.groups())
                if isinstance(result, Log):
                    self._stream(result)
                else:
                    self.answer(*result)
                return
        raise ApiError(404, "not_found", "There is no such page.")

    def _stream(self, log: Log) -> None:
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


def _me(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    projects = [{"name": "main", "role": "admin"}]
    return 200, {"username": "admin", "admin": True, "projects": projects}


def _validate(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    try:
        spec = parse.parse(seen.body["configuration"]).to_json()
    except SpecError as error:
        return 200, {"valid": False, "spec": None, "errors": details(error)}
    return 200, {"valid": True, "spec": spec, "errors": []}


def _plan(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    try:
        spec = parse.parse(seen.body["configuration"])
        spec = parse.apply_overrides(spec, seen.body["overrides"])
    except SpecError as error:
        raise ApiError(422, "invalid", str(error.problems[0]), details(error)) from error
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
        "shell": "bash",
        "warnings": [],
        "left_out": seen.body.get("left_out", []),
        **fake.plan_changes,
    }


def _submit(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    if seen.body["plan_id"] != "plan-1":
        raise ApiError(409, "conflict", "The run changed since it was planned.")
    if seen.body["upload"] not in fake.uploads:
        raise ApiError(422, "invalid", "There is no such upload.")
    before = fake.runs.get(seen.body["name"])
    is_update = before is not None and fake.plan_changes.get("action") == "update"
    version = before.data["version"] + 1 if before and is_update else 1
    run = fake.add_run(seen.body["name"], "submitted", version=version)
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


def _logs(fake: FakeApi, seen: Seen, name: str) -> Log:
    return Log(fake.run(name), seen.query)


def _events(fake: FakeApi, seen: Seen, name: str | None = None) -> tuple[int, Any]:
    return _page(fake, seen, [e for e in fake.events if name in (None, e["run"])])


def _requests(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    fake.run(name)
    return 200, fake.requests


def _metrics(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    fake.run(name)
    return 200, fake.metrics


def _decisions(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    fake.run(name)
    return _page(fake, seen, fake.decisions)


def _offers(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    shown = fake.offers[: int(seen.query["limit"][0])]
    return 200, {
        "items": shown,
        "next_cursor": None,
        "total_offers": len(fake.offers),
        "silent": fake.silent,
        "note": fake.offers_note,
        "max_price_usd_per_hour": max(
            (one["price_usd_per_hour"] for one in fake.offers), default=None
        ),
        "why_none": None if shown else "No offer fits. resources.gpu: my-host has no GPU.",
    }


def _offer_groups(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    rows = (("A100:80GB:1", "westus2", 2, 3.673, 4.15), ("none", "eastus", 1, 0.1, 0.1))
    names = ("gpu", "region", "offers", "min_price_usd_per_hour", "max_price_usd_per_hour")
    items = [{"backend": None, **dict(zip(names, row, strict=True))} for row in rows]
    return 200, {"items": items, "next_cursor": None}


def _has_upload(fake: FakeApi, seen: Seen, digest: str) -> tuple[int, Any]:
    return (200 if digest in fake.uploads else 404), None


def _upload(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    digest = contents.hash_of(contents.read(io.BytesIO(seen.body), most_bytes=2**30))
    fake.uploads[digest] = seen.body
    return 201, {"hash": digest, "size_bytes": len(seen.body)}


def _uploads(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    about: Json = {"created_at": CREATED, "used_at": CREATED}
    about["needed_by"] = [{"run": name, "version": 1} for name in fake.runs]
    items = [{"hash": d, "size_bytes": len(c), **about} for d, c in fake.uploads.items()]
    status, page = _page(fake, seen, items)
    used = sum(len(content) for content in fake.uploads.values())
    return status, {**page, "used_bytes": used, "quota_bytes": 5 * 2**30}


def _delete_upload(fake: FakeApi, seen: Seen, digest: str) -> tuple[int, Any]:
    if fake.runs:
        name = next(iter(fake.runs))
        raise ApiError(409, "conflict", f"The upload is needed by version 1 of {name}.")
    del fake.uploads[digest]
    return 204, None


def _tokens(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    return _page(fake, seen, fake.tokens)


def _create_token(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    made = {
        "id": len(fake.tokens) + 1,
        **{key: seen.body[key] for key in ("name", "scope", "project", "runs")},
        "rps": seen.body.get("rps"),
        "kind": "service" if seen.body["runs"] else "user",
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


def _gateway(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    return 200, next(each for each in fake.gateways if each["name"] == name)


def _gateway_part(fake: FakeApi, seen: Seen, name: str, part: str) -> tuple[int, Any]:
    return 200, next(each for each in fake.gateways if each["name"] == name)["parts"][part]


def _backends(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    return _page(fake, seen, fake.backends)


def _page(fake: FakeApi, seen: Seen, items: list[Json]) -> tuple[int, Any]:
    limit = min(int(seen.query.get("limit", ["50"])[0]), fake.page)
    start = int(seen.query.get("cursor", ["0"])[0])
    end = start + limit
    cursor = str(end) if end < len(items) else None
    return 200, {"items": items[start:end], "next_cursor": cursor}


def _projects(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    return 200, {"items": [{"name": "main", "role": "admin", **fake.limits}], "next_cursor": None}


def _change_project(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    fake.limits |= {name: value and float(value) for name, value in seen.body.items()}
    return 200, {"name": "main", "role": "admin", **fake.limits}


def _spend(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    budget = None if fake.budget["usd_per_month"] is None else fake.budget
    return 200, {**fake.spend, **fake.limits, "budget": budget}


def _budget(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    if seen.method == "PUT":
        usd = seen.body["usd_per_month"]
        fake.budget |= seen.body | {"usd_per_month": usd and float(usd)}
    return 200, fake.budget


_MAIN = "/api/projects/main"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", "/api/users/me", _me),
    ("GET", "/api/projects", _projects),
    ("PATCH", _MAIN, _change_project),
    ("GET", f"{_MAIN}/spend", _spend),
    ("GET", f"{_MAIN}/budget", _budget),
    ("PUT", f"{_MAIN}/budget", _budget),
    ("POST", "/api/specs/validate", _validate),
    ("GET", "/api/tokens", _tokens),
    ("POST", "/api/tokens", _create_token),
    ("DELETE", "/api/tokens/(.+)", _revoke_token),
    ("HEAD", f"{_MAIN}/uploads/(.+)", _has_upload),
    ("POST", f"{_MAIN}/uploads", _upload),
    ("GET", f"{_MAIN}/uploads", _uploads),
    ("DELETE", f"{_MAIN}/uploads/([^/]+)", _delete_upload),
    ("POST", f"{_MAIN}/runs/plan", _plan),
    ("POST", f"{_MAIN}/runs", _submit),
    ("GET", f"{_MAIN}/runs", _runs),
    ("GET", f"{_MAIN}/events", _events),
    ("GET", f"{_MAIN}/offers", _offers),
    ("GET", f"{_MAIN}/offers/groups", _offer_groups),
    ("GET", f"{_MAIN}/gateways", _gateways),
    ("GET", f"{_MAIN}/gateways/([^/]+)", _gateway),
    ("GET", f"{_MAIN}/gateways/([^/]+)/(traffic|logs)", _gateway_part),
    *api_instances.ROUTES,
    ("GET", f"{_MAIN}/backends", _backends),
    ("POST", f"{_MAIN}/backends", api_backends.connect),
    ("DELETE", f"{_MAIN}/backends/([^/]+)", api_backends.close),
    ("PATCH", f"{_MAIN}/backends/([^/]+)", api_backends.change),
    ("POST", f"{_MAIN}/backends/([^/]+)/check", api_backends.check),
    ("GET", f"{_MAIN}/backend-checks/([^/]+)", api_backends.check),
    ("POST", "/api/backends", api_backends.connect),
    ("GET", f"{_MAIN}/runs/([^/]+)/logs", _logs),
    ("GET", f"{_MAIN}/runs/([^/]+)/events", _events),
    ("GET", f"{_MAIN}/runs/([^/]+)/metrics", _metrics),
    ("GET", f"{_MAIN}/runs/([^/]+)/requests", _requests),
    ("GET", f"{_MAIN}/runs/([^/]+)/decisions", _decisions),
    ("POST", f"{_MAIN}/runs/([^/]+)/stop", api_verbs.stop),
    ("POST", f"{_MAIN}/runs/([^/]+)/scale", api_verbs.scale),
    ("POST", f"{_MAIN}/runs/([^/]+)/scale/plan", api_verbs.scale_plan),
    ("POST", f"{_MAIN}/runs/([^/]+)/rollback", api_verbs.rollback),
    ("GET", f"{_MAIN}/runs/([^/]+)", _run),
    ("DELETE", f"{_MAIN}/runs/([^/]+)", _delete_run),
]
