"""A cloud like Google's on loopback, for Google's own clients: no other does more than store files.

What a request and an answer may hold says Google's description (`gcp_schema`); what is there and
goes wrong, `gcp_world`. The addresses that it gives to machines are invented: dial none.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from apps.backends.providers.gcp.errors import CODES, OF_CALLS
from tests.fakes import gcp_schema
from tests.fakes.gcp_lists import ANSWERS
from tests.fakes.gcp_machines import Refused
from tests.fakes.gcp_world import PROJECT, Faults, World

__all__ = ["PROJECT", "Faults", "World", "serving"]

HANGS_SECONDS, SLOW_SECONDS = 10, 2.5
STATUS_OF_KIND = {"credentials": 401, "unreachable": 503, "capacity": 503}


class _Handler(BaseHTTPRequestHandler):
    world: ClassVar[World]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        try:
            answer = self._answer(json.loads(text) if text else None)
        except Refused as refused:
            self._send(refused.status, _error(refused) if refused.reason else {})
        else:
            self._send(200, answer)

    def _answer(self, body: Any) -> Any:
        method, asked = self._asked(body)
        with self.world.lock:
            return self._settled(method, asked)

    def _asked(self, body: Any) -> tuple[gcp_schema.Method, dict[str, Any]]:
        """Return what is asked for, as far as Google's description allows it."""
        world, parts = self.world, urlsplit(self.path)
        if world.faults.hangs is not None:
            world.faults.hangs.wait(HANGS_SECONDS)
        if world.faults.is_away:
            raise Refused(503, "", "")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            method, place = gcp_schema.method_of(self.command, parts.path)
            gcp_schema.check_request(method, place, query, body)
        except LookupError:
            raise Refused(404, "notFound", f"no method for {self.path}") from None
        except gcp_schema.NotAllowed as error:
            raise Refused(400, "invalid", str(error)) from None
        fate = world.faults.fate(method.id)
        if fate == "hangs":
            time.sleep(SLOW_SECONDS)
        elif fate == "away":
            raise Refused(503, "", "")
        return method, {**query, **place, "body": body, "fate": fate}

    def _settled(self, method: gcp_schema.Method, asked: dict[str, Any]) -> Any:
        faults = self.world.faults
        faults.asked[method.id] += 1
        self.world.settle()
        code = faults.refused.get(method.id, "")
        if code and (code in OF_CALLS or method.id != "compute.instances.insert"):
            raise Refused(_status(code), code)
        answer = ANSWERS[method.id](self.world, asked)
        gcp_schema.check_answer(method, answer)
        if asked["fate"] == "loses":
            raise Refused(503, "", "")
        return json.loads(json.dumps(answer))

    def _send(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `asked`."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _status(code: str) -> int:
    kind = CODES[code].kind
    return STATUS_OF_KIND.get(kind, 403)


def _error(refused: Refused) -> dict[str, Any]:
    """As Google writes it: reasons in capitals are of the gate before all of its APIs."""
    said: dict[str, Any] = {"code": refused.status, "message": refused.message}
    if refused.reason.isupper():
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refused.reason}
        said |= {"status": "PERMISSION_DENIED", "details": [{**info, "domain": "googleapis.com"}]}
    else:
        each = {"reason": refused.reason, "domain": "global", "message": refused.message}
        said["errors"] = [each]
    return {"error": said}


@contextmanager
def serving() -> Iterator[World]:
    """Serve an empty project on a free port of loopback."""
    world = World()
    handler = type("Handler", (_Handler,), {"world": world})
    server = _Server(("127.0.0.1", 0), handler)
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield world
    finally:
        world.clear()
        server.shutdown()
        thread.join()
        server.server_close()
