"""A server with TGI's API that says the prompt it was given: `tgi_server.py PORT`.

Uploaded as a service, so it needs nothing but Python.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["inputs"]
        details = {"finish_reason": "eos_token", "generated_tokens": 1, "input_length": 1}
        if self.path == "/generate":
            told = {**details, "prefill": [], "tokens": []}
            self.send(json.dumps({"generated_text": prompt, "details": told}), "application/json")
        elif self.path == "/generate_stream":
            token = {"id": 1, "text": prompt, "logprob": -1.0, "special": False}
            event = {"index": 1, "token": token, "generated_text": prompt, "details": details}
            self.send(f"data:{json.dumps(event)}\n\n", "text/event-stream")
        else:
            self.send_error(404)

    def send(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
