"""A service to call through the gateway: says what it was asked, streams, upgrades, waits."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.fakes import model_answers

CHUNK = b"x" * 65536


@dataclass
class Target:
    """An HTTP/1.1 server in this process; `seen` are the raw request paths in order."""

    name: str = "target"
    port: int = 0
    seen: list[str] = field(default_factory=list)
    left_early: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> Target:
        app = web.Application(client_max_size=2**40)
        for path, handler in (
            ("/sse", self.sse),
            ("/ws", self.websocket),
            ("/wait", self.wait),
            ("/answer", self.answer),
            ("/bytes", self.send_bytes),
        ):
            app.router.add_get(path, handler)
        app.router.add_post("/answer", self.answer)
        app.router.add_route("*", "/late", self.late)
        app.router.add_route("*", "/cors", self.cors)
        app.router.add_post("/stream", self.wait)
        app.router.add_post("/broken", self.break_off)
        app.router.add_post("/usage/{path:.*}", model_answers.answer)
        app.router.add_post("/forms/{path:.*}", self.form)
        app.router.add_route("*", "/{path:.*}", self.echo)
        self.runner = web.AppRunner(
            app,
            shutdown_timeout=0.1,
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,
            max_line_size=2**20,
            max_field_size=2**20,
            max_headers=10_000,
        )
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()

    async def echo(self, request: web.Request) -> web.Response:
        """Say what was asked; the body by its length and hash, so that it may be huge."""
        self.seen.append(request.raw_path)
        digest, length = hashlib.sha256(), 0
        async for chunk in request.content.iter_any():
            digest.update(chunk)
            length += len(chunk)
        return web.json_response(
            {
                "name": self.name,
                "method": request.method,
                "path": request.raw_path,
                "headers": [[name.lower(), value] for name, value in request.headers.items()],
                "length": length,
                "sha256": digest.hexdigest(),
            }
        )

    async def cors(self, request: web.Request) -> web.Response:
        """Let pages of other origins in, as an application with a library for it does."""
        answer = await self.echo(request)
        answer.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        answer.headers["Vary"] = "Origin"
        if request.method == "OPTIONS":
            answer.headers["Access-Control-Allow-Headers"] = "authorization, x-app"
            answer.headers["Access-Control-Allow-Methods"] = "GET, PUT"
        return answer

    async def late(self, request: web.Request) -> web.Response:
        """Answer as `echo`, once `go_on` is set."""
        answer = await self.echo(request)
        await self.go_on.wait()
        return answer

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as the query says: `status`, and any number of `header=NAME:VALUE`."""
        answer = web.Response(status=int(request.query.get("status", "200")), text="answer")
        for header in request.query.getall("header", []):
            name, _, value = header.partition(":")
            answer.headers.add(name, value)
        return answer

    async def form(self, request: web.Request) -> web.Response:
        """Say which fields came, as an audio or image server answers: files by name and hash."""
        self.seen.append(request.raw_path)
        fields = [[name, said_of(value)] for name, value in (await request.post()).items()]
        return web.json_response({"text": json.dumps(fields), "created": 0, "data": []})

    async def send_bytes(self, request: web.Request) -> web.StreamResponse:
        """Send `count` bytes, chunked."""
        left = int(request.query["count"])
        response = web.StreamResponse()
        await response.prepare(request)
        while left > 0:
            await response.write(CHUNK[:left])
            left -= len(CHUNK)
        return response

    async def sse(self, request: web.Request) -> web.StreamResponse:
        """Send `count` events, one each `pause` seconds."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for number in range(int(request.query["count"])):
                await response.write(f"data: {number}\n\n".encode())
                await asyncio.sleep(float(request.query["pause"]))
        except asyncio.CancelledError:
            self.left_early.set()
            raise
        return response

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """Send a first line, then a second one once `go_on` is set."""
        self.seen.append(request.raw_path)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first\n")
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left_early.set()
            raise
        await response.write(b"second\n")
        return response

    async def break_off(self, request: web.Request) -> web.StreamResponse:
        """Promise more than is sent, and hang up."""
        await request.read()
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"begun")
        assert request.transport is not None
        request.transport.close()
        return response

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Echo each message."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def said_of(value: str | bytes | bytearray | web.FileField) -> str | list[str]:
    if isinstance(value, web.FileField):
        return [value.filename, digest(value.file.read())]
    return value if isinstance(value, str) else digest(bytes(value))
