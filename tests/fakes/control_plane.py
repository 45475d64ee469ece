"""A control plane for the agent's tests: the real wire over real HTTP, its state in memory.

It does what the wire promises and no more: long polls, whole reports, log lines numbered without a
gap, blobs, one enrolment. A test breaks it on purpose with `refuse_with` (a status) or by `stop()`
and `start()`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apps.agent import wire

TOKEN = "dsk_a_a-token-of-the-tests"
ENROLMENT = "dsk_e_an-enrolment-of-the-tests"
OPEN = ("/api/agent/enrol", "/api/agent/agent.pyz")
REFUSED = b'{"error": {"code": "refused", "message": "refused by the test"}}'
DEADLINE_SECONDS = 20.0
# A server may answer earlier than it was asked to; tests that refuse an agent need it soon.
LONGEST_POLL_SECONDS = 1.0


class ControlPlane:
    def __init__(self) -> None:
        self.instance_id = "instance-1"
        self.revision = 0
        self.workloads: dict[str, wire.WorkloadSpec] = {}
        self.reports: list[wire.Report] = []
        self.logs: dict[str, list[wire.LogLine]] = {}
        self.gaps: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.usage: list[wire.UsageSample] = []
        self.calls: list[str] = []
        self.enrolments: list[wire.Enrolment] = []
        self.token_hash = sha256(TOKEN.encode())
        self.program = b""
        self.cache_rules = wire.CacheRules()
        self.announced = ""  # the SHA-256 of another program than it has
        self.refuse_with: int | None = None
        self.accept_lines = 10**9  # how many lines of a batch are stored before it "breaks off"
        self.changed = threading.Condition(threading.RLock())
        self.port = 0
        self.connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        fake = self

        class Handler(_Handler):
            control_plane = fake

        ThreadingHTTPServer.daemon_threads = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end the polls that wait."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        with self.changed:
            self.changed.notify_all()

    def hang_up(self) -> None:
        """Close the connections that clients keep open."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def assign(self, *specs: wire.WorkloadSpec) -> None:
        """Add these workloads, or replace those of the same id."""
        with self.changed:
            self.workloads.update({spec.id: spec for spec in specs})
            self._next_revision()

    def ask_to_stop(self, workload_id: str, *, stop_seconds: float = 5.0) -> None:
        spec = self.workloads[workload_id]
        self.assign(dataclasses.replace(spec, desired="stop", stop_seconds=stop_seconds))

    def forget(self, *workload_ids: str) -> None:
        with self.changed:
            for workload_id in workload_ids:
                self.workloads.pop(workload_id, None)
            self._next_revision()

    def _next_revision(self) -> None:
        self.revision += 1
        self.changed.notify_all()

    def seen(self, workload_id: str) -> wire.WorkloadReport | None:
        """What the last report says of a workload."""
        with self.changed:
            last = self.reports[-1].workloads if self.reports else []
            return next((one for one in last if one.id == workload_id), None)

    def wait(self, condition: Callable[[], Any], *, seconds: float = DEADLINE_SECONDS) -> Any:
        """Wait for a condition over what was received; fail loudly with what there is."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                result = condition()
                if result:
                    return result
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"waited {seconds} s in vain; {self._summary()}")
                # Not everything that is waited for is received here.
                self.changed.wait(min(left, 0.05))

    def wait_for(
        self, workload_id: str, *, seconds: float = DEADLINE_SECONDS, **fields: Any
    ) -> wire.WorkloadReport:
        """Wait until a report shows the workload with these fields."""

        def shown() -> wire.WorkloadReport | None:
            report = self.seen(workload_id)
            fits = report and all(getattr(report, key) == value for key, value in fields.items())
            return report if fits else None

        result = self.wait(shown, seconds=seconds)
        assert isinstance(result, wire.WorkloadReport)
        return result

    def lines(self, workload_id: str) -> list[str]:
        with self.changed:
            return [line.text for line in self.logs.get(workload_id, [])]

    def _summary(self) -> str:
        last = self.reports[-1].workloads if self.reports else None
        return f"last report {last}, logs { ({i: len(v) for i, v in self.logs.items()}) }"

    def take_report(self, report: wire.Report) -> wire.Receipt:
        with self.changed:
            self.reports.append(report)
            self.changed.notify_all()
            return wire.Receipt(self.revision)

    def take_logs(self, batch: wire.LogBatch) -> wire.LogReceipt:
        with self.changed:
            for log in batch.logs:
                self._take_lines(log)
            self.changed.notify_all()
            return wire.LogReceipt({log.id: len(self.logs[log.id]) for log in batch.logs})

    def _take_lines(self, log: wire.WorkloadLog) -> None:
        stored = self.logs.setdefault(log.id, [])
        for line in log.lines[: self.accept_lines]:
            if line.seq == len(stored):
                stored.append(line)
            elif line.seq > len(stored):
                self.gaps.append(f"{log.id}: {line.seq} came when {len(stored)} was due")

    def poll(self, *, since: int, wait_seconds: float) -> wire.Assignment:
        deadline = time.monotonic() + min(wait_seconds, LONGEST_POLL_SECONDS)
        with self.changed:
            while self.revision == since and self.is_up and time.monotonic() < deadline:
                self.changed.wait(deadline - time.monotonic())
            return wire.Assignment(
                revision=self.revision,
                instance_id=self.instance_id,
                workloads=list(self.workloads.values()),
                program_sha256=self.announced or (sha256(self.program) if self.program else ""),
                caches=self.cache_rules,
            )

    def enrol(self, asked: wire.Enrolment) -> wire.Enrolled | None:
        with self.changed:
            self.enrolments.append(asked)
            self.changed.notify_all()
            if (
                asked.enrolment != ENROLMENT
                or asked.token_sha256 != self.enrolments[0].token_sha256
            ):
                return None
            self.token_hash = asked.token_sha256
            return wire.Enrolled(self.instance_id)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    control_plane: ControlPlane
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        # An agent that was killed hears nothing any more.
        self.control_plane.connections.add(self.connection)
        with contextlib.suppress(ConnectionError):
            super().handle()
        self.control_plane.connections.discard(self.connection)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self._is_refused(url.path):
            return
        if url.path == "/api/agent/assignment":
            query = parse_qs(url.query)
            since, wait = int(query["since"][0]), float(query["wait"][0])
            assignment = self.control_plane.poll(since=since, wait_seconds=wait)
            self._answer(assignment)
        elif url.path.startswith("/api/agent/blobs/"):
            blob = self.control_plane.blobs.get(url.path.rpartition("/")[2])
            self._send(200 if blob is not None else 404, blob or b"{}")
        elif url.path == "/api/agent/agent.pyz":
            self._send(200, self.control_plane.program)
        else:
            self._send(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_refused(self.path):
            return
        if self.path == "/api/agent/report":
            self._answer(self.control_plane.take_report(wire.from_json(wire.Report, body)))
        elif self.path == "/api/agent/logs":
            self._answer(self.control_plane.take_logs(wire.from_json(wire.LogBatch, body)))
        elif self.path == "/api/agent/usage":
            self.control_plane.usage += wire.from_json(wire.UsageBatch, body).samples
            self._send(200, b"{}")
        elif self.path == "/api/agent/enrol":
            self._enrol(wire.from_json(wire.Enrolment, body))
        else:
            self._send(404, b"{}")

    def _enrol(self, asked: wire.Enrolment) -> None:
        answer = self.control_plane.enrol(asked)
        if answer is None:
            self._send(401, REFUSED)
        else:
            self._answer(answer)

    def _is_refused(self, path: str) -> bool:
        self.control_plane.calls.append(f"{self.command} {path}")
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        authorized = path in OPEN or sha256(token.encode()) == self.control_plane.token_hash
        status = self.control_plane.refuse_with or (None if authorized else 401)
        if not self.control_plane.is_up:
            status = 503
        if status:
            self._send(status, REFUSED)
        return bool(status)

    def _answer(self, message: Any) -> None:
        self._send(200, json.dumps(wire.to_json(message)).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
