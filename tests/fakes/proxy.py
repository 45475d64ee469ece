"""Proxies of the two kinds, which lead every request to one place and note what was asked for."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SECONDS = 10


@dataclass
class FakeProxy:
    """`port` is where it listens; `asked` are the first lines (HTTP) or names (SOCKS)."""

    leads_to: int
    port: int = 0
    asked: list[str] = field(default_factory=list)


@contextmanager
def running(kind: str, *, leads_to: int) -> Iterator[FakeProxy]:
    """Serve as a proxy of `kind`, http or socks5, on a free port of this machine."""
    fake = FakeProxy(leads_to)
    begin = {"http": _http, "socks5": _socks}[kind]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            client.settimeout(SECONDS)
            with socket.create_connection(("127.0.0.1", fake.leads_to), SECONDS) as there:
                there.sendall(begin(fake, client))
                threading.Thread(target=_pump, args=(client, there), daemon=True).start()
                _pump(there, client)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        fake.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield fake
        server.shutdown()


def _socks(fake: FakeProxy, client: socket.socket) -> bytes:
    """RFC 1928 without authentication: a name comes as its length and its letters."""
    client.recv(2 + 255)
    client.sendall(b"\x05\x00")
    wish = client.recv(4 + 1 + 255 + 2)
    fake.asked.append(wish[5 : 5 + wish[4]].decode())
    client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    return b""


def _http(fake: FakeProxy, client: socket.socket) -> bytes:
    """A request of the form `GET http://host/path` becomes `GET /path`, as servers know it."""
    method, url, rest = client.recv(65536).split(b" ", 2)
    fake.asked.append(url.decode())
    return b" ".join([method, b"/" + url.split(b"/", 3)[3], rest])


def _pump(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            to.sendall(data)
    except OSError:
        return
