"""What the soak's services run: a page, an echo, events, and models of both formats."""

from __future__ import annotations

import http.server
import json
import os
import time

EVENTS, PAUSE_SECONDS = 20, 0.05


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/events"):
            self.stream(f"data: {number}\n\n" for number in range(EVENTS))
        else:
            self.answer(b'{"hello": "soak"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/echo"):
            self.answer(body)
        elif self.path.startswith("/generate"):
            self.answer(json.dumps({"generated_text": "hello"}).encode())
        elif json.loads(body).get("stream"):
            piece = json.dumps({"choices": [{"index": 0, "delta": {"content": "hello"}}]})
            self.stream([*[f"data: {piece}\n\n"] * EVENTS, "data: [DONE]\n\n"])
        else:
            message = {"role": "assistant", "content": "hello"}
            self.answer(json.dumps({"choices": [{"index": 0, "message": message}]}).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events) -> None:  # type: ignore[no-untyped-def]  # runs on any Python
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(event.encode())
            self.wfile.flush()
            time.sleep(PAUSE_SECONDS)

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", int(os.environ["PORT"])), Handler).serve_forever()
