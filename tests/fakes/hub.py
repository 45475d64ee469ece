"""A hub of models: small files by repository, some for those with a token alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """`files` are texts by path; `redirects` lead a path elsewhere; `asked` are the paths with the
    token of each request."""

    files: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    token: str = ""
    status: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_port}"

    def put(self, repository: str, revision: str = "main", **files: str) -> None:
        for name, text in files.items():
            path = {"template": "chat_template.jinja", "config": "tokenizer_config.json"}[name]
            self.files[f"/{repository}/resolve/{revision}/{path}"] = text

    def start(self) -> Hub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append((request.path, token))
        status, body = self._found(request.path, token)
        request.send_response(status)
        if status == 307:
            request.send_header("Location", body)
        request.send_header("Content-Length", str(len(body.encode())))
        request.end_headers()
        request.wfile.write(body.encode())

    def _found(self, path: str, token: str) -> tuple[int, str]:
        if self.status:
            return self.status, "no"
        if path in self.redirects:
            return 307, self.redirects[path]
        if self.token and token != self.token:
            return 401, "Invalid username or password."
        return (200, self.files[path]) if path in self.files else (404, "Entry not found")
