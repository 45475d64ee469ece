"""Metadata of AWS (IMDSv2), Google Cloud and Azure: what a machine there learns of its own end."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

NOTICE_PATH = "/latest/meta-data/spot/instance-action"
PREEMPTED_PATH = "/computeMetadata/v1/instance/preempted"
EVENTS_PATH = "/metadata/scheduledevents?api-version=2020-07-01"


class Imds:
    """`notice` is the answer of spot/instance-action, None for 404. `tokens` are valid; who comes
    without one is answered 401, as where IMDSv1 is off. `preempted` is Google's answer, to who
    names its flavor. `events` are Azure's, for who says that
    metadata are meant. `broken` answers every call with 500."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.notice: str | None = None
        self.preempted = "FALSE"
        self.events: object = []
        self.tokens: set[str] = set()
        self.calls: list[str] = []
        self.broken = False
        fake = self

        class Handler(_Handler):
            imds = fake

        self._server = ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def take_back(self, time: str) -> None:
        self.notice = json.dumps({"action": "terminate", "time": time})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    imds: ClassVar[Imds]

    def do_PUT(self) -> None:
        self.imds.calls.append(f"PUT {self.path}")
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.imds.broken or self.path != "/latest/api/token":
            self._answer(500 if self.imds.broken else 404, "")
        elif not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            self._answer(400, "")
        else:
            token = f"token-{len(self.imds.calls)}"
            self.imds.tokens.add(token)
            self._answer(200, token)

    def do_GET(self) -> None:
        self.imds.calls.append(f"GET {self.path}")
        if self.imds.broken:
            self._answer(500, "")
        elif self.path == PREEMPTED_PATH:
            is_google = self.headers.get("Metadata-Flavor") == "Google"
            self._answer(200 if is_google else 403, self.imds.preempted if is_google else "")
        elif self.path == EVENTS_PATH:
            is_meant = self.headers.get("Metadata") == "true"
            said = json.dumps({"DocumentIncarnation": 1, "Events": self.imds.events})
            self._answer(200 if is_meant else 400, said if is_meant else "")
        elif self.headers.get("X-aws-ec2-metadata-token") not in self.imds.tokens:
            self._answer(401, "")
        elif self.path == NOTICE_PATH and self.imds.notice is not None:
            self._answer(200, self.imds.notice)
        else:
            self._answer(404, "<html>404</html>")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """A test reads `calls`."""
