"""A server that speaks TGI: it checks requests as TGI's OpenAPI document and router do, and says
what a test wants it to, token by token."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from aiohttp import web

EOS = "</s>"
BOS = "<s>"

_GRAMMAR = {
    "type": "object",
    "required": ["type", "value"],
    "oneOf": [
        {
            "properties": {
                "type": {"const": "json"},
                "value": {"type": "object", "required": ["properties"]},
            }
        },
        {"properties": {"type": {"const": "regex"}, "value": {"type": "string"}}},
    ],
}
# `POST /generate`, with the bounds that the router checks beyond the document.
GENERATE: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "inputs": {"type": "string"},
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "adapter_id": {"type": ["string", "null"]},
                "best_of": {"type": ["integer", "null"], "exclusiveMinimum": 0},
                "decoder_input_details": {"type": "boolean"},
                "details": {"type": "boolean"},
                "do_sample": {"type": "boolean"},
                "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
                "grammar": _GRAMMAR,
                "max_new_tokens": {"type": ["integer", "null"], "exclusiveMinimum": 0},
                "repetition_penalty": {"type": ["number", "null"], "exclusiveMinimum": 0},
                "return_full_text": {"type": ["boolean", "null"]},
                "seed": {"type": ["integer", "null"], "exclusiveMinimum": 0, "maximum": 2**64 - 1},
                "stop": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
                "temperature": {"type": ["number", "null"], "exclusiveMinimum": 0},
                "top_k": {"type": ["integer", "null"], "exclusiveMinimum": 0},
                "top_n_tokens": {"type": ["integer", "null"], "exclusiveMinimum": 0, "maximum": 5},
                "top_p": {
                    "type": ["number", "null"],
                    "exclusiveMinimum": 0,
                    "exclusiveMaximum": 1,
                },
                "truncate": {"type": ["integer", "null"], "minimum": 0},
                "typical_p": {
                    "type": ["number", "null"],
                    "exclusiveMinimum": 0,
                    "exclusiveMaximum": 1,
                },
                "watermark": {"type": "boolean"},
            },
        },
    },
}


@dataclass
class Tgi:
    """`tokens` are said, then the end token; what is special is not part of the text.

    `failure` is (status, error, error_type) of every answer; `breaks_after` tokens a stream gets
    an error as its next event, or ends without a word where `breaks_off`.
    """

    tokens: list[str] = field(default_factory=lambda: ["Hel", "lo", " world"])
    adds_bos: bool = True
    failure: tuple[int, str, str] | None = None
    breaks_after: int | None = None
    breaks_off: bool = False
    waits_after: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tokenized: int = 0
    left_early: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def inputs(self) -> str:
        """The prompt of the last request."""
        return str(self.asked[-1]["inputs"])

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.asked[-1]["parameters"])

    async def start(self) -> Tgi:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/generate", self.generate)
        app.router.add_post("/generate_stream", self.generate_stream)
        app.router.add_post("/tokenize", self.tokenize)
        self.runner = web.AppRunner(
            app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True
        )
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()

    async def tokenize(self, request: web.Request) -> web.Response:
        inputs = (await request.json())["inputs"]
        self.tokenized += 1
        texts = ([BOS] if self.adds_bos else []) + [inputs]
        return web.json_response(
            [{"id": num, "text": text, "start": 0, "stop": 0} for num, text in enumerate(texts)]
        )

    async def generate(self, request: web.Request) -> web.Response:
        asked, problem = await self._read(request)
        if problem is not None:
            return problem
        made, finish = self._made(asked)
        details = None
        if asked.get("parameters", {}).get("details"):
            details = {
                "finish_reason": finish,
                "generated_tokens": len(made),
                "seed": asked["parameters"].get("seed"),
                "prefill": [],
                "tokens": made,
            }
            if top := asked["parameters"].get("top_n_tokens"):
                details["top_tokens"] = [[token] * top for token in made]
        return web.json_response(
            {"generated_text": _text(made), "details": details},
            headers={"x-prompt-tokens": str(_count(asked["inputs"]))},
        )

    async def generate_stream(self, request: web.Request) -> web.StreamResponse:
        asked, problem = await self._read(request)
        if problem is not None and self.failure is None:
            return problem
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.headers["x-prompt-tokens"] = str(_count(asked["inputs"]))
        await response.prepare(request)
        try:
            await self._stream(asked, response)
        except (asyncio.CancelledError, ConnectionError):
            self.left_early.set()
            raise
        return response

    async def _stream(self, asked: dict[str, Any], response: web.StreamResponse) -> None:
        if self.failure is not None:
            # TGI has sent its status by now.
            return await _send(response, _error(*self.failure[1:]))
        made, finish = self._made(asked)
        await response.write(b": keep-alive\n\n")
        for num, token in enumerate(made):
            if num == self.breaks_after and not self.breaks_off:
                return await _send(response, _error("Request failed", "generation"))
            if num == self.breaks_after:
                return None
            if num == self.waits_after:
                await asyncio.Event().wait()
            event: dict[str, Any] = {"index": num + 1, "token": token}
            if top := asked["parameters"].get("top_n_tokens"):
                event["top_tokens"] = [token] * top
            last = num == len(made) - 1
            event["generated_text"] = _text(made) if last else None
            event["details"] = None
            if last and asked["parameters"].get("details"):
                event["details"] = {
                    "finish_reason": finish,
                    "generated_tokens": len(made),
                    "seed": asked["parameters"].get("seed"),
                    "input_length": _count(asked["inputs"]),
                }
            await _send(response, event)
        return None

    async def _read(self, request: web.Request) -> tuple[dict[str, Any], web.Response | None]:
        asked = json.loads(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        try:
            jsonschema.validate(asked, GENERATE)
            json.dumps(asked, ensure_ascii=False).encode()
        except (jsonschema.ValidationError, UnicodeEncodeError) as error:
            said = getattr(error, "message", str(error))
            return asked, web.json_response(_error(said, "validation"), status=422)
        self.asked.append(asked)
        if self.failure is not None:
            status, said, kind = self.failure
            return asked, web.json_response(_error(said, kind), status=status)
        return asked, None

    def _made(self, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        """The tokens, ended as TGI ends them: by a stop, by length, by the end token."""
        parameters = asked.get("parameters", {})
        stops = parameters.get("stop") or []
        most = parameters.get("max_new_tokens") or 1000
        made: list[dict[str, Any]] = []
        text = ""
        for num, said in enumerate(self.tokens):
            made.append({"id": num, "text": said, "logprob": -0.5, "special": False})
            text += said
            if any(text.endswith(stop) for stop in stops):
                return made, "stop_sequence"
            if len(made) == most:
                return made, "length"
        made.append({"id": 2, "text": EOS, "logprob": -0.1, "special": True})
        return made, "eos_token"


def _text(made: list[dict[str, Any]]) -> str:
    return "".join(token["text"] for token in made if not token["special"])


def _count(inputs: str) -> int:
    return len(inputs.split())


def _error(said: str, kind: str) -> dict[str, str]:
    return {"error": said, "error_type": kind}


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    # As TGI writes it: without a space.
    await response.write(b"data:" + json.dumps(event).encode() + b"\n\n")
