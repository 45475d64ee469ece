"""What the fake API knows: runs, uploads, tokens; and the JSON that it is made of."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

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


NO_BUDGET: Json = {
    "month": "2030-01",
    "usd_per_month": None,
    "warn_percent": 80,
    "spent_usd": 12.6,
    "forecast_usd": 140.0,
    "left_usd": None,
    "state": "none",
}


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
    # The end of the paths that a server of an older version does not have.
    lacks: str = ""
    plan_changes: Json = field(default_factory=dict)
    steps: list[Json] = field(default_factory=lambda: [replica_step("running")])
    first_lines: list[str] = field(default_factory=list)
    runs: dict[str, FakeRun] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    tokens: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    metrics: Json = field(default_factory=dict)
    requests: Json = field(default_factory=dict)
    decisions: list[Json] = field(default_factory=list)
    gateways: list[Json] = field(default_factory=list)
    backends: list[Json] = field(
        default_factory=lambda: [{"kind": "local", "name": "local", "created_at": CREATED}]
    )
    limits: Json = field(default_factory=lambda: {"max_instances": None, "max_usd_per_hour": None})
    spend: Json = field(default_factory=dict)
    budget: Json = field(default_factory=lambda: dict(NO_BUDGET))
    # What a cloud says when it is asked, and how often the answer is that it is being asked.
    problems: list[str] = field(default_factory=list)
    backend_notes: list[str] = field(default_factory=list)
    slow_checks: int = 0
    instances: list[Json] = field(default_factory=list)
    unknown_machines: list[Json] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)
    offers_note: str | None = None
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


def instance_json(name: str, **changes: Any) -> Json:
    return {
        "name": name,
        "state": "ready",
        "backend": "aws",
        "region": "us-east-1",
        "instance": "m5.large",
        "resources": "2xCPU, 8GB, 100GB (disk)",
        "spot": False,
        "price_usd_per_hour": 0.096,
        "running": [],
        "running_of_others": 0,
        "idle_until": None,
        "reported_at": CREATED,
        "error": None,
        "created_at": CREATED,
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


def details(error: SpecError) -> list[Json]:
    """The problems of a file as the API writes them."""
    return [
        {"path": p.path, "line": p.line, "column": p.column, "message": p.message}
        for p in error.problems
    ]


def replicas_of(seen: Seen) -> Any:
    try:
        return parse.parse_replicas(seen.body["replicas"])
    except SpecError as error:
        raise ApiError(422, "invalid", str(error), details(error)) from error
