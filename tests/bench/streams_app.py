"""A server of paced SSE streams, in one thread: `python -m tests.bench.streams_app PORT`.

Answers any request with EVENTS events, PACE_MS apart, chunked. It sends them by a wheel of one slot
for each millisecond, because an event loop's timer for each event would be the bottleneck.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import time

EVENTS, PACE_MS = 64, 20
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
DELTA = {"choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]}
EVENT = b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", **DELTA}).encode()
EVENT += b"\n\n"
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
END = b"0\r\n\r\n"


class Streams:
    """All connections, and the streams that are under way."""

    def __init__(self, port: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._unread: dict[socket.socket, bytes] = {}
        self._wheel: list[dict[socket.socket, int]] = [{} for _ in range(PACE_MS)]

    def run(self) -> None:
        """Serve for ever."""
        tick = time.monotonic_ns() // 1_000_000
        while True:
            now = time.monotonic_ns() // 1_000_000
            while tick < now:
                tick += 1
                self._send(self._wheel[tick % PACE_MS])
            for key, _ in self._selector.select(0.001):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    self._accept()
                else:
                    self._read(sock, tick)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._unread[sock] = b""
                self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, sock: socket.socket, tick: int) -> None:
        try:
            got = sock.recv(65_536)
        except OSError:
            got = b""
        if not got:
            self._close(sock)
            return
        text = self._unread[sock] + got
        head, found, body = text.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if not found or len(body) < length:
            self._unread[sock] = text
            return
        self._unread[sock] = b""
        if self._give(sock, HEAD + CHUNK):
            self._wheel[tick % PACE_MS][sock] = EVENTS - 1

    def _send(self, due: dict[socket.socket, int]) -> None:
        for sock, left in list(due.items()):
            if not self._give(sock, CHUNK if left > 1 else CHUNK + END):
                continue
            if left > 1:
                due[sock] = left - 1
            else:
                del due[sock]

    def _give(self, sock: socket.socket, data: bytes) -> bool:
        try:
            is_sent = sock.send(data) == len(data)
        except OSError:
            is_sent = False
        if not is_sent:
            self._close(sock)
        return is_sent

    def _close(self, sock: socket.socket) -> None:
        if self._unread.pop(sock, None) is None:
            return
        for slot in self._wheel:
            slot.pop(sock, None)
        self._selector.unregister(sock)
        sock.close()


if __name__ == "__main__":
    Streams(int(sys.argv[1])).run()
