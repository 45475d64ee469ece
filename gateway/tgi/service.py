"""The adapter: answers OpenAI's chat and completion requests by a server that speaks TGI.

It is given each request with the endpoint and a way to the endpoint's replicas, and knows nothing
of routes, keys or holding.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway import schema
from gateway.tgi import answer, request
from gateway.tgi.call import Call, HeaderRecorder, Upstream
from gateway.tgi.errors import Refused
from gateway.tgi.prompts import Prompts
from gateway.tgi.templates import Renderer

CHAT = ("/v1/chat/completions", "/chat/completions")
COMPLETIONS = ("/v1/completions", "/completions")
# More than the longest context; a body that the gateway took in to find its model may be longer.
MOST_BODY_BYTES = 32 * 2**20
PASSED_ON = ("X-Request-Id", "traceparent", "tracestate")

__all__ = ["Adapter", "Upstream"]


def uncounted(tokens_in: int, tokens_out: int) -> None:
    """Count nothing."""


class Adapter:
    """Translates; `start` before the first request, `stop` at the end."""

    def __init__(self) -> None:
        self._renderer = Renderer()
        self._prompts = Prompts(self._renderer)

    async def start(self) -> None:
        await self._renderer.start()

    async def stop(self) -> None:
        await self._renderer.stop()

    async def run(self) -> None:
        """Stay ready to render until it is cancelled."""
        try:
            await self.start()
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def handle(
        self,
        request: web.BaseRequest,
        *,
        endpoint: schema.Endpoint,
        upstream: Upstream,
        body: bytes | None = None,
        counted: Callable[[int, int], None] = uncounted,
    ) -> web.StreamResponse:
        """Answer one request; `body` is its body where that was read already.
        A streamed answer's tokens, in and out, are told to `counted` at its end, however it ends.

        Cancelling it closes what it asked of the replica.
        """
        try:
            called = await self._called(request, endpoint, upstream, body)
            if not called.asked.stream:
                return await called.whole()
            try:
                return await called.stream(request)
            finally:
                counted(*called.streamed_tokens)
        except Refused as refused:
            return error_response(refused)

    async def _called(
        self,
        asking: web.BaseRequest,
        endpoint: schema.Endpoint,
        upstream: Upstream,
        raw: bytes | None,
    ) -> Call:
        model = endpoint.model
        if model is None:
            raise Refused("This service offers no model.", status=404)
        if asking.path not in (*CHAT, *COMPLETIONS):
            raise Refused(
                f"{model.name} is served by TGI: it has /chat/completions and /completions.",
                status=404,
            )
        if asking.method != "POST":
            raise Refused(f"{asking.path} takes POST.", status=405)
        body = parsed(await read_body(asking) if raw is None else raw)
        read = request.read_chat if asking.path in CHAT else request.read_completion
        asked = read(body, eos_token=model.eos_token)
        recorder = HeaderRecorder(upstream)
        prompts = await self._prompts.of(asked, endpoint=endpoint, upstream=recorder)
        headers = {name: asking.headers[name] for name in PASSED_ON if name in asking.headers}
        return Call(
            asked=asked,
            prompts=prompts,
            envelope=answer.Envelope(model.name, asked.chat),
            upstream=recorder,
            headers=headers,
        )


async def read_body(asking: web.BaseRequest) -> bytes:
    body = bytearray()
    async for piece in asking.content.iter_any():
        body += piece
        if len(body) > MOST_BODY_BYTES:
            raise Refused("The body is longer than 32 MB.", status=413)
    return bytes(body)


def parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refused("The body must be a JSON object.")
    return body


def error_response(refused: Refused) -> web.Response:
    headers = {}
    if refused.retry_after_seconds:
        headers["Retry-After"] = refused.retry_after_seconds
    return web.json_response(refused.body(), status=refused.status, headers=headers)
