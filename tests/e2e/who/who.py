"""A service that says which replica answers: its number, its pid, its service's name."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/stream":
            self.stream()
            return
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        names = ("DSTACK_REPLICA_NUM", "DSTACK_RUN_NAME")
        answer = {"pid": os.getpid(), **{name: os.environ[name] for name in names}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def stream(self) -> None:
        """Say who answers, then a line now and then for as long as somebody reads."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(os.environ["DSTACK_REPLICA_NUM"].encode() + b"\n")
            while True:
                time.sleep(0.2)
                self.wfile.write(b"...\n")

    def log_message(self, format: str, *args: object) -> None:
        """Fifty lines a second would only hide what matters."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", int(os.environ["PORT"])), Handler).serve_forever()
