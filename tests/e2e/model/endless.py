"""A model that writes till its caller goes, if told to go on, and says no usage: `endless.py PORT`.

Uploaded as a service, so it needs nothing but Python.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS_A_WORD = 0.05


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.begin("text/plain")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        goes_on = "on and on" in asked["messages"][-1]["content"]
        self.begin("text/event-stream")
        try:
            for number in range(1, 10_000 if goes_on else 4):
                self.say({"choices": [{"delta": {"content": f"word {number} <i> "}}]})
                time.sleep(SECONDS_A_WORD)
            self.say("[DONE]")
        except OSError:
            sys.stdout.write("the caller went\n")
            sys.stdout.flush()

    def begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def say(self, what: object) -> None:
        text = what if isinstance(what, str) else json.dumps(what)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
