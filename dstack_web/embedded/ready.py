"""Whether a child answers: yet, when it starts, and still, while it runs."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Container
from pathlib import Path

TIMEOUT_SECONDS = 2.0
PROTOCOL = 3 << 16  # PostgreSQL's version 3.0


ANY_STATUS = range(100, 600)


def answers(
    *,
    host: str,
    port: int,
    path: str,
    wanted: Container[int] = ANY_STATUS,
    seconds: float = TIMEOUT_SECONDS,
) -> bool:
    """Return whether `GET path` gives one of the `wanted` status codes."""
    return _answers(http.client.HTTPConnection(host, port, timeout=seconds), path, wanted)


def answers_at(
    socket_path: Path,
    *,
    path: str,
    wanted: Container[int] = ANY_STATUS,
    seconds: float = TIMEOUT_SECONDS,
) -> bool:
    """Return whether `GET path` on a unix socket gives one of the `wanted` status codes."""
    return _answers(_Local(socket_path, seconds), path, wanted)


def _answers(connection: http.client.HTTPConnection, path: str, wanted: Container[int]) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status in wanted
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Local(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def log_says(log: Path, words: str) -> bool:
    """Return whether a child has written `words`; each start has new logs."""
    return log.exists() and words in log.read_text(errors="replace")


def postgres_answers(path: Path, *, user: str, database: str, seconds: float) -> bool:
    """Return whether PostgreSQL at the socket `path` takes a connection and runs `SELECT 1`.

    A refusal (it is starting, it has no connection left) is an answer, too. Nothing but the
    protocol's few bytes is needed, so the supervisor loads no client library.
    """
    words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database, ""))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(seconds)
            client.connect(str(path))
            client.sendall(struct.pack("!ii", len(words) + 8, PROTOCOL) + words)
            if wait_for(client, b"ZE") == b"E":
                return True
            query = b"SELECT 1\0"
            client.sendall(b"Q" + struct.pack("!i", len(query) + 4) + query)
            return wait_for(client, b"DE") != b""
    except OSError:
        return False


def wait_for(client: socket.socket, kinds: bytes) -> bytes:
    """Return the kind of the first message that is one of `kinds`; none when the stream ends."""
    with client.makefile("rb") as stream:
        while len(head := stream.read(5)) == 5:
            stream.read(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] in kinds:
                return head[:1]
    return b""
