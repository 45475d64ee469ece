"""A container engine's socket that knows its images and nothing else, as the server asks it."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class FakeEngine:
    """Answers at a unix socket between `start` and `stop`; `images` are what it has."""

    def __init__(self, path: Path, images: tuple[str, ...] = ()) -> None:
        self.path = path
        self.images = images
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> None:
        images = self.images

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps([{"RepoTags": [name]} for name in images]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self.path.unlink()
