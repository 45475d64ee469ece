"""A service that says which replica answers: its number, its pid, its service's name."""

from __future__ import annotations

import http.server
import json
import os


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
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

    def log_message(self, format: str, *args: object) -> None:
        """Fifty lines a second would only hide what matters."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", int(os.environ["PORT"])), Handler).serve_forever()
