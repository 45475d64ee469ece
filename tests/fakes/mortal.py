"""A replica that some requests end: `python mortal.py [PORT]` says its port, then what it is asked.

Any method at a path that ends in `/die` ends it without an answer. `/mute` only closes, `/junk`
answers what is no HTTP, `/long` with a head of a megabyte, `/slow` after two seconds. All else is
answered with the id of its process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ENDINGS = {
    "mute": b"",
    "junk": b"220 mail.example.com ESMTP\r\n\r\n",
    "long": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 2**20 + b"\r\n\r\n",
}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        say(f"{self.command} {self.path}")
        ending = self.path.partition("?")[0].rpartition("/")[2]
        if ending == "die":
            os._exit(1)
        if ending == "slow":
            time.sleep(2)
        if ending in ENDINGS:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.wfile.write(ENDINGS[ending])
            return
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Say nothing: what was asked is on the output already."""


class Server(ThreadingHTTPServer):
    request_queue_size = 100


@dataclass
class Mortal:
    """One such process, as its parent sees it."""

    process: subprocess.Popen[bytes]
    output: Path
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_dead(self) -> bool:
        return self.process.poll() is not None

    @property
    def asked(self) -> list[str]:
        """Method and path of each request so far."""
        return self.output.read_text().splitlines()[1:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def start(folder: Path, port: int = 0) -> Mortal:
    """Start one that writes into `folder`; raise TimeoutError when it does not come up."""
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as output:
        command = [sys.executable, str(Path(__file__)), str(port)]
        process = subprocess.Popen(command, stdout=output)
    deadline = time.monotonic() + 20
    while not (text := Path(name).read_text()).endswith("\n"):
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError("the replica did not start")
        time.sleep(0.01)
    return Mortal(process, Path(name), int(text))


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    say(str(server.server_port))
    server.serve_forever()
