"""A web server behind the proxy: says what reached it, streams, or gives back what it was sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import Any

from dstack_web.front.peer import Peer
from dstack_web.web.body_limit import BodyLimit

# Live streams whose callers have not left.
streams: set[asyncio.Task[None]] = set()
# Requests for /slow that are under way.
slows: set[object] = set()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    if path == "/stream":
        await stream(receive, send)
        return
    if path == "/streams":
        await say(send, "text/plain", str(len(streams)).encode())
        return
    if path == "/slows":
        await say(send, "text/plain", str(len(slows)).encode())
        return
    size, digest = await read(receive)
    if path == "/slow":
        await slowly(float(scope["query_string"] or os.environ["SLOW_SECONDS"]))
    kind = scope["query_string"].decode() if path == "/typed" else "application/json"
    status = 404 if path.endswith("/gone.0123456789ab.js") else 200
    found = {
        "pid": os.getpid(),
        "method": scope["method"],
        "client": scope["client"] and scope["client"][0],
        "headers": [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]],
        "size": size,
        "sha256": digest,
        "padding": "many words " * 200,
    }
    await say(send, kind, json.dumps(found).encode(), status=status)


async def slowly(seconds: float) -> None:
    mark = object()
    slows.add(mark)
    await asyncio.sleep(seconds)
    slows.discard(mark)


async def say(send: Any, kind: str, body: bytes, *, status: int = 200) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> tuple[int, str]:
    size, digest, more = 0, hashlib.sha256(), True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    return size, digest.hexdigest()


async def stream(receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    left = asyncio.create_task(until_left(receive))
    streams.add(left)
    left.add_done_callback(streams.discard)
    while not left.done():
        await send({"type": "http.response.body", "body": b": alive\n\n", "more_body": True})
        await asyncio.wait([left], timeout=0.2)


async def until_left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


application = Peer(BodyLimit(echo, most_bytes=2**30, step_seconds=2))
