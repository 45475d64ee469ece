"""A service that takes its time, and writes down who was asked what before it answers.

GET /die ends it without an answer.
"""

from __future__ import annotations

import http.server
import os
import time
from pathlib import Path

LEDGER = Path(os.environ["LEDGER"])
WORK_SECONDS = 0.2


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer leaves at once or not at all.
    wbufsize = -1

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with LEDGER.open("ab", buffering=0) as file:
            words = (self.command, self.headers["X-Request-Id"], os.environ["DSTACK_REPLICA_NUM"])
            file.write(f"{' '.join(words)}\n".encode())
        if self.path.startswith("/die"):
            os._exit(7)
        time.sleep(WORK_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Hundreds of lines a second would only hide what matters."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", int(os.environ["PORT"])), Handler).serve_forever()
