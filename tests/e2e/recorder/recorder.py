"""A service that writes down every byte it is sent: `recorder.py FILE`.

It answers as a web application, as a model of OpenAI's kind and as TGI does. Uploaded, so it needs
nothing but Python.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)
DETAILS = {"finish_reason": "eos_token", "generated_tokens": 1, "input_length": 1}


class Recorded:
    """What is read passes here on its way."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def readline(self, *size: int) -> bytes:
        return self.kept(self.file.readline(*size))

    def read(self, *size: int) -> bytes:
        return self.kept(self.file.read(*size))

    def kept(self, data: bytes) -> bytes:
        with Path(sys.argv[1]).open("ab", buffering=0) as record:
            record.write(data)
        return data


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        recorded: Any = Recorded(self.rfile)
        self.rfile = recorded

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.switch()
        elif self.path == "/sse":
            self.send("data: one\n\ndata: two\n\n", "text/event-stream")
        elif self.path == "/fails":
            self.send_error(500)
        else:
            self.send("hello\n", "text/plain")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self.chunked()
        if self.path.startswith("/generate"):
            self.generate(json.loads(body))
        elif "completions" in self.path:
            said = {"role": "assistant", "content": "hi"}
            choice = {"index": 0, "finish_reason": "stop", "message": said}
            self.send(json.dumps({"id": "x", "choices": [choice]}), "application/json")
        else:
            self.do_GET()

    def chunked(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def generate(self, asked: dict[str, Any]) -> None:
        if self.path == "/generate":
            told = {**DETAILS, "prefill": [], "tokens": []}
            text = json.dumps({"generated_text": asked["inputs"], "details": told})
            self.send(text, "application/json")
        else:
            token = {"id": 1, "text": asked["inputs"], "logprob": -1.0, "special": False}
            event = {"index": 1, "token": token, "generated_text": "x", "details": DETAILS}
            self.send(f"data:{json.dumps(event)}\n\n", "text/event-stream")

    def switch(self) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        self.wfile.write(SWITCHED % accept + b"\x81\x02hi\x88\x00")
        self.close_connection = True

    def send(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The request line too is something that a replica sees, and logs."""
        sys.stdout.write(f"{format % args}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
