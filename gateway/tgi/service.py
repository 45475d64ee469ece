"""The adapter: answers OpenAI's chat and completion requests by a server that speaks TGI.

It is given each request with the endpoint and a way to the endpoint's replicas, and knows nothing
of routes, keys or holding.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from gateway import schema
from gateway.tgi import answer, request
from gateway.tgi.call import Call, Upstream
from gateway.tgi.errors import Refused
from gateway.tgi.prompts import Prompts
from gateway.tgi.templates import Renderer

CHAT = ("/v1/chat/completions", "/chat/completions")
COMPLETIONS = ("/v1/completions", "/completions")
PASSED_ON = ("X-Request-Id", "traceparent", "tracestate")

__all__ = ["Adapter", "Upstream"]


class Adapter:
    """Translates; `start` before the first request, `stop` at the end."""

    def __init__(self) -> None:
        self._renderer = Renderer()
        self._prompts = Prompts(self._renderer)

    async def start(self) -> None:
        await self._renderer.start()

    async def stop(self) -> None:
        await self._renderer.stop()

    async def handle(
        self, request: web.Request, *, endpoint: schema.Endpoint, upstream: Upstream
    ) -> web.StreamResponse:
        """This function will answer one request; cancelling it closes what it asked of the
        replica."""
        try:
            return await self._answered(request, endpoint, upstream)
        except Refused as refused:
            return error_response(refused)

    async def _answered(
        self, asking: web.Request, endpoint: schema.Endpoint, upstream: Upstream
    ) -> web.StreamResponse:
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
        body = await read_body(asking)
        read = request.read_chat if asking.path in CHAT else request.read_completion
        asked = read(body, eos_token=model.eos_token)
        prompts = await self._prompts.of(asked, endpoint=endpoint, upstream=upstream)
        headers = {name: asking.headers[name] for name in PASSED_ON if name in asking.headers}
        call = Call(
            asked=asked,
            prompts=prompts,
            envelope=answer.Envelope(model.name, asked.chat),
            upstream=upstream,
            headers=headers,
        )
        return await (call.stream(asking) if asked.stream else call.whole())


async def read_body(asking: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await asking.read())
    except web.HTTPRequestEntityTooLarge:
        raise Refused("The body is too large.", status=413) from None
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
