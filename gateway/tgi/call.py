"""One request on its way to the replicas and back, streamed or whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from gateway.tgi import answer, errors
from gateway.tgi.errors import Refused
from gateway.tgi.request import Asked
from gateway.tgi.stream import ChoiceStream, Events

PASSED_BACK = ("X-Cold-Start",)
MOST_ANSWER_BYTES = 64 * 2**20

# One encoder for all: `json.dumps` makes a new one for each call with separators of one's own.
_encode = json.JSONEncoder(separators=(",", ":")).encode

Choices = list[dict[str, Any]]
Parts = AsyncGenerator[Choices, None]


class Upstream(Protocol):
    """The way to the replicas of one endpoint; whoever asked closes the answer."""

    async def post(
        self, path: str, *, json: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse: ...


class HeaderRecorder:
    """An upstream whose answers' headers for the caller are noted, the first of each name: a
    request may wait for a replica, those after it do not."""

    def __init__(self, upstream: Upstream) -> None:
        self.back: dict[str, str] = {}
        self._upstream = upstream

    async def post(
        self, path: str, *, json: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        response = await self._upstream.post(path, json=json, headers=headers)
        for name in PASSED_BACK:
            if name in response.headers:
                self.back.setdefault(name, response.headers[name])
        return response


class Call:
    """One request on its way: each choice of each prompt is a generation of its own."""

    def __init__(
        self,
        *,
        asked: Asked,
        prompts: tuple[str, ...],
        envelope: answer.Envelope,
        upstream: HeaderRecorder,
        headers: Mapping[str, str],
    ) -> None:
        self.asked = asked
        self.envelope = envelope
        self.upstream = upstream
        self.headers = headers
        self.choices = [
            (num * asked.n + n, prompt)
            for num, prompt in enumerate(prompts)
            for n in range(asked.n)
        ]
        self.streams: list[ChoiceStream] = []

    async def whole(self) -> web.Response:
        """Answer once all is there."""
        if len(self.choices) == 1:
            found = [await self._generate(*self.choices[0])]
        else:
            found = await self._all()
        choices = [
            answer.choice(self.asked, index, got, prompt=prompt)
            for (index, prompt), got in zip(self.choices, found, strict=True)
        ]
        said = self.envelope.around(choices)
        said["usage"] = answer.usage(
            sum(got.prompt_tokens for got in found[:: self.asked.n]),
            sum(got.completion_tokens for got in found),
        )
        return web.Response(
            body=packed(said), content_type="application/json", headers=self.upstream.back
        )

    async def _all(self) -> list[answer.Generated]:
        try:
            async with asyncio.TaskGroup() as group:
                asks = [group.create_task(self._generate(*each)) for each in self.choices]
        except ExceptionGroup as failures:
            # Several may fail at once; the caller is told of the first.
            raise failures.exceptions[0] from None
        return [ask.result() for ask in asks]

    async def _generate(self, index: int, prompt: str) -> answer.Generated:
        async with self._ask("/generate", index, prompt) as response:
            body = await read_bounded(response)
            try:
                said = json.loads(body)
            except (ValueError, RecursionError):
                said = None
            counted = response.headers.get("x-prompt-tokens")
        return answer.read_generated(said, prompt_tokens=counted)

    @contextlib.asynccontextmanager
    async def _ask(
        self, path: str, index: int, prompt: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of the replica; one that says no is raised as Refused. The connection is
        closed, not kept, when the answer was not read to its end."""
        asked = {"inputs": prompt, "parameters": self.asked.parameters_of(index)}
        lost = "The model's server did not answer."
        try:
            response = await self.upstream.post(path, json=packed(asked), headers=self.headers)
            with contextlib.closing(response):
                lost = "The model's server ended its answer early."
                if response.status != 200:
                    raise errors.of_upstream(
                        response.status,
                        await read_bounded(response),
                        retry_after_seconds=response.headers.get("Retry-After"),
                    )
                yield response
        except (aiohttp.ClientError, OSError):
            # An address of ours may stand in what the error says.
            raise Refused(lost, status=502) from None

    async def stream(self, asking: web.BaseRequest) -> web.StreamResponse:
        """Send chunks as they come. An error before the first one has its own
        status, a later one is an event."""
        self.streams = [ChoiceStream(self.asked, index, prompt=p) for index, p in self.choices]
        streams = self.streams
        async with contextlib.aclosing(self._merged(streams)) as parts:
            first = await anext(parts)
            headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **self.upstream.back}
            response = web.StreamResponse(headers=headers)
            response.content_type = "text/event-stream"
            await response.prepare(asking)
            await response.write(self._events(first))
            try:
                async for choices in parts:
                    if choices:
                        await response.write(self._events(choices))
            except Refused as refused:
                await response.write(event(refused.body()))
            else:
                await response.write(self._end())
        await response.write_eof()
        return response

    def _events(self, choices: Choices) -> bytes:
        more: dict[str, Any] = {"usage": None} if self.asked.include_usage else {}
        return b"".join(
            event({**self.envelope.around([each], chunk=True), **more}) for each in choices
        )

    @property
    def streamed_tokens(self) -> tuple[int, int]:
        """Tokens in and out of what was streamed so far."""
        return (
            sum(each.prompt_tokens for each in self.streams[:: self.asked.n]),
            sum(each.completion_tokens for each in self.streams),
        )

    def _end(self) -> bytes:
        if not self.asked.include_usage:
            return b"data: [DONE]\n\n"
        used = answer.usage(*self.streamed_tokens)
        return event({**self.envelope.around([], chunk=True), "usage": used}) + b"data: [DONE]\n\n"

    async def _merged(self, streams: list[ChoiceStream]) -> Parts:
        """The parts of all choices as they come."""
        if len(streams) == 1:
            async with contextlib.aclosing(self._parts(streams[0], self.choices[0][1])) as only:
                async for part in only:
                    yield part
            return
        parts: asyncio.Queue[Choices | Refused | None] = asyncio.Queue(maxsize=16)
        tasks = [
            asyncio.create_task(self._follow(stream, prompt, into=parts))
            for stream, (_, prompt) in zip(streams, self.choices, strict=True)
        ]
        running = len(tasks)
        try:
            while running:
                match await parts.get():
                    case None:
                        running -= 1
                    case Refused() as error:
                        raise error
                    case part:
                        yield part
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(
        self, stream: ChoiceStream, prompt: str, *, into: asyncio.Queue[Choices | Refused | None]
    ) -> None:
        try:
            async with contextlib.aclosing(self._parts(stream, prompt)) as parts:
                async for part in parts:
                    await into.put(part)
            await into.put(None)
        except Refused as error:
            await into.put(error)

    async def _parts(self, stream: ChoiceStream, prompt: str) -> Parts:
        events = Events()
        async with self._ask("/generate_stream", stream.index, prompt) as response:
            counted = response.headers.get("x-prompt-tokens", "")
            stream.prompt_tokens = int(counted) if counted.isdigit() else 0
            async for chunk in response.content.iter_any():
                choices: Choices = []
                try:
                    for got in events.feed(chunk):
                        choices += stream.feed(got)
                except Refused:
                    # What was good before is told too.
                    if choices:
                        yield choices
                    raise
                if choices:
                    yield choices
                if stream.finished:
                    return
        raise Refused("The model's server ended its answer early.", status=502)


def packed(said: dict[str, Any]) -> bytes:
    return _encode(said).encode()


def event(said: dict[str, Any]) -> bytes:
    return b"data: " + packed(said) + b"\n\n"


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or MOST_ANSWER_BYTES + 1) <= MOST_ANSWER_BYTES:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_ANSWER_BYTES:
            raise Refused("The model's server answered more than 64 MB.", status=502)
    return bytes(body)
