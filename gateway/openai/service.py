"""The sidecar's part of the OpenAI API: what HAProxy cannot answer or route by itself.

That is the list of models, a body whose model HAProxy did not see (long, chunked, a form), a model
that needs a translator, and every error, each in the form that OpenAI's clients read. HAProxy has
checked the caller's token already and says which key it is in `X-Dstack-Key`; nobody else can
connect here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import aiohttp
from aiohttp import web

from gateway.openai import forms, names
from gateway.openai.bodies import MOST_BYTES, Bodies, ReceivedBody, TooLarge, TooMany
from gateway.openai.errors import error
from gateway.openai.http import Server
from gateway.openai.inner import Caller, InnerClient, SlotUpstream, passed_on
from gateway.openai.paths import bare, models_named
from gateway.openai.usage import Counted, of_json
from gateway.schema import Endpoint
from gateway.state.lookup import Directory

log = logging.getLogger(__name__)

SOCKET = "openai.sock"
BACKLOG = 4096
ABOUT = (
    "This is the OpenAI API of all models here: GET /v1/models lists them, and what is sent to "
    "/v1/chat/completions and all other paths goes to the model that its body names."
)
KEY, ENDPOINT = "X-Dstack-Key", "X-Dstack-Endpoint"


class Translator(Protocol):
    """Speaks another API on behalf of a model of format `tgi`."""

    async def handle(
        self,
        request: web.BaseRequest,
        *,
        endpoint: Endpoint,
        upstream: SlotUpstream,
        body: bytes | None = None,
        counted: Counted,
    ) -> web.StreamResponse: ...


class OpenAi:
    """Answers on `openai.sock`.

    `count_tokens` takes endpoint and key, and the tokens in and out of an answer that was
    translated. Into all others HAProxy looks.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        inner: InnerClient,
        translator: Translator,
        count_tokens: Callable[[tuple[str, str], int, int], None],
    ) -> None:
        self._count_tokens = count_tokens
        self._directory = directory
        self._inner = inner
        self._translator = translator
        self._bodies = Bodies()

    async def run(self, home: Path) -> None:
        """Serve until it is cancelled."""
        (home / SOCKET).unlink(missing_ok=True)
        server = Server(self._answer)
        runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(home / SOCKET), backlog=BACKLOG).start()
            (home / SOCKET).chmod(0o600)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method in ("GET", "HEAD"):
            return self._read(request)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return error(
                415,
                "The body is compressed, so its model cannot be read. Send it without "
                "Content-Encoding.",
                "unsupported_encoding",
            )
        try:
            if chosen := self._directory.endpoint(request.headers.get(ENDPOINT, "")):
                return await self._translate(request, chosen)
            key_id = request.headers.get(KEY, "")
            async with self._bodies.receive(request, of=key_id) as body:
                return await self._route(request, body)
        except TooLarge:
            return error(413, f"The body is longer than {MOST_BYTES // 2**20} MB.", "too_large")
        except TooMany:
            return error(
                503,
                "This token has too many large bodies under way here. Send it again later.",
                "too_many_bodies",
            )
        except web.RequestPayloadError:
            return error(400, "The body ended early or cannot be read.", "invalid_body")
        except (aiohttp.ClientError, OSError) as problem:
            log.warning("a request could not be passed on: %s", type(problem).__name__)
            return error(502, "The service gave no valid answer. See its logs.", "bad_gateway")

    def _read(self, request: web.BaseRequest) -> web.Response:
        key_id = request.headers.get(KEY, "")
        path = bare(request.rel_url.raw_path)
        if path in ("", "/"):
            return web.json_response({"object": "api", "message": ABOUT})
        if path == "/models":
            found = [described(each) for each in self._directory.models(key_id=key_id)]
            return web.json_response({"object": "list", "data": found})
        if names := models_named(request.rel_url.raw_path):
            known = (self._directory.model(each, key_id=key_id) for each in names)
            endpoint = next(filter(None, known), None)
            return web.json_response(described(endpoint)) if endpoint else unknown(names[0])
        return error(
            404,
            f"There is no {request.method} {request.path} here: apart from /models, a request is "
            "passed on to the model that its body names.",
            "unknown_url",
        )

    async def _route(self, request: web.BaseRequest, body: ReceivedBody) -> web.StreamResponse:
        try:
            name = await body.model(request.headers.get("Content-Type", ""))
        except names.NotJson:
            return error(
                400,
                "The body is not a JSON object in UTF-8. Send JSON with the key `model`, or "
                "a form.",
                "invalid_json",
            )
        except forms.BadForm as problem:
            return error(400, str(problem), "invalid_form", param="model")
        if name is None:
            return error(
                400, "Say in `model` which model this is for.", "missing_model", param="model"
            )
        endpoint = self._directory.model(name, key_id=request.headers.get(KEY, ""))
        slot = self._directory.slot_of(endpoint) if endpoint else None
        if endpoint is None or slot is None:
            return unknown(name)
        if endpoint.model and endpoint.model.format == "tgi":
            if request.headers.get("Content-Type", "").lower().startswith("multipart/"):
                return error(
                    415,
                    f"The model `{name}` is served by TGI, which takes no forms. Send JSON to "
                    "/chat/completions or /completions.",
                    "unsupported_media_type",
                )
            return await self._translate(request, endpoint, body)
        return await self._pass_on(request, body, endpoint, slot)

    async def _pass_on(
        self, request: web.BaseRequest, body: ReceivedBody, endpoint: Endpoint, slot: int
    ) -> web.StreamResponse:
        assert endpoint.model is not None
        headers = [
            each for each in passed_on(request.headers) if each[0].lower() != "content-length"
        ]
        headers.append(("Content-Length", str(body.length)))
        # As the caller wrote it, as HAProxy passes it on: what is decoded may be another path.
        path = f"{endpoint.model.prefix}{bare(request.rel_url.raw_path)}"
        if request.rel_url.raw_query_string:
            path += f"?{request.rel_url.raw_query_string}"
        answer = await self._inner.ask(
            slot,
            request.method,
            path,
            headers=headers,
            data=body.pieces(),
            caller=caller_of(request, endpoint),
        )
        async with answer:
            return await copy(request, answer)

    async def _translate(
        self, request: web.BaseRequest, endpoint: Endpoint, body: ReceivedBody | None = None
    ) -> web.StreamResponse:
        slot = self._directory.slot_of(endpoint)
        if slot is None or endpoint.model is None:
            return unknown(endpoint.model.name if endpoint.model else "")
        # Where HAProxy named the endpoint it has counted the request.
        caller = caller_of(request, endpoint) if body else None
        upstream = SlotUpstream(self._inner, slot, caller=caller)
        whole = b"".join([piece async for piece in body.pieces()]) if body else None
        counted = self._counted(request, endpoint)
        answer = await self._translator.handle(
            request, endpoint=endpoint, upstream=upstream, body=whole, counted=counted
        )
        if isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            counted(*(of_json(answer.body) or (0, 0)))
        return answer

    def _counted(self, request: web.BaseRequest, endpoint: Endpoint) -> Counted:
        return partial(self._count_tokens, (endpoint.id, request.headers.get(KEY, "")))


async def copy(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Send an answer on, each piece as it comes.

    What has begun cannot become an error: one that breaks off is cut off here too.
    """
    copied = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=passed_on(answer.headers)
    )
    await copied.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await copied.write(piece)
        await copied.write_eof()
    except (aiohttp.ClientError, OSError):
        if request.transport is not None:
            request.transport.abort()
    return copied


def caller_of(request: web.BaseRequest, endpoint: Endpoint) -> Caller:
    return Caller(endpoint=endpoint.id, key=request.headers.get(KEY, ""))


def described(endpoint: Endpoint) -> dict[str, str | int]:
    """Describe a model as OpenAI's list of models does."""
    assert endpoint.model is not None
    created = int(endpoint.model.created_at)
    return {
        "id": endpoint.model.name,
        "object": "model",
        "created": created,
        "owned_by": endpoint.run or "dstack",
    }


def unknown(name: str) -> web.Response:
    return error(
        404,
        f"The model `{name[:256]}` does not exist, or this token may not use it.",
        "model_not_found",
        param="model",
    )
