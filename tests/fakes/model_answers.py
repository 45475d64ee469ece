"""What model servers answer, in the words of each API: 7 tokens in and 3 out, unless asked else.

Besides the API's own `stream`, a request may say `padding` (bytes of text), `trailing` (bytes of it
behind a chat's usage), `silent` (no usage is said), `gzip`, `chunked`, `step` (bytes written at
once), and `thinks` (seconds between the headers of a stream and its first byte, as vLLM does).
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

CHAT = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 2, "prompt_tokens": 99},
}
EMBEDDED = {"prompt_tokens": 7, "total_tokens": 7}
RESPONSES = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 10,
}
MESSAGES = {"input_tokens": 4, "cache_read_input_tokens": 3, "output_tokens": 3}

Said = dict[str, Any]


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer a request as the server of its API does."""
    asked = await request.json()
    kind = request.path.rpartition("/")[2]
    if asked.get("stream"):
        text, content_type = "".join(STREAMS[kind](asked)), "text/event-stream"
    else:
        text, content_type = json.dumps(WHOLE[kind](asked)), "application/json"
    body, headers = text.encode(), {"Content-Type": content_type}
    if asked.get("gzip"):
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    if not asked.get("stream") and not asked.get("chunked"):
        return web.Response(body=body, headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await asyncio.sleep(asked.get("thinks", 0))
    step = asked.get("step", 1000)
    for start in range(0, len(body), step):
        await response.write(body[start : start + step])
    return response


def text_of(asked: Said) -> str:
    # Text that looks like usage, as a model may write it.
    padding: int = asked.get("padding", 0)
    return 'It says "usage": {"prompt_tokens": 1}. ' + "x" * padding


def used(asked: Said, usage: Said) -> Said:
    return {} if asked.get("silent") else {"usage": usage}


def chat(asked: Said) -> Said:
    message = {"role": "assistant", "content": text_of(asked)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **used(asked, CHAT),
        "system_fingerprint": "x" * asked.get("trailing", 0),
    }


def embeddings(asked: Said) -> Said:
    numbers = [0.5] * (asked.get("padding", 0) // 5 + 1)
    data = [{"object": "embedding", "index": 0, "embedding": numbers}]
    return {"object": "list", "data": data, "model": "m", **used(asked, EMBEDDED)}


def responses(asked: Said) -> Said:
    content = [{"type": "output_text", "text": text_of(asked), "annotations": []}]
    output = [{"type": "message", "id": "m", "role": "assistant", "content": content}]
    return {
        "id": "r",
        "object": "response",
        "output": output,
        **used(asked, RESPONSES),
        "user": None,
        "metadata": {},
    }


def messages(asked: Said) -> Said:
    content = [{"type": "text", "text": text_of(asked)}]
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        **used(asked, MESSAGES),
    }


def event(said: Said, name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(said)}\n\n"


def chat_stream(asked: Said) -> Iterator[str]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    wants = asked.get("stream_options", {}).get("include_usage")
    empty = {"usage": None} if wants else {}
    for text in ("a", text_of(asked), "b"):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        yield event({**head, "choices": [choice], **empty})
    if wants:
        yield event({**head, "choices": [], **used(asked, CHAT)})
    yield "data: [DONE]\n\n"


def responses_stream(asked: Said) -> Iterator[str]:
    begun = {"type": "response.created", "response": {"id": "r", "output": [], "usage": None}}
    yield event(begun, "response.created")
    yield event({"type": "response.output_text.delta", "delta": text_of(asked)})
    yield event({"type": "response.completed", "response": responses(asked)}, "response.completed")


def messages_stream(asked: Said) -> Iterator[str]:
    message = messages({**asked, "padding": 0}) | {"content": [], "stop_reason": None}
    if "usage" in message:
        message["usage"] = {**MESSAGES, "output_tokens": 1}
    yield event({"type": "message_start", "message": message}, "message_start")
    block = {"type": "content_block_start", "index": 0}
    yield event({**block, "content_block": {"type": "text", "text": ""}}, "content_block_start")
    delta = {"type": "text_delta", "text": text_of(asked)}
    yield event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
    yield event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    yield event({**end, **used(asked, {"output_tokens": 3})}, "message_delta")
    yield event({"type": "message_stop"}, "message_stop")


WHOLE = {
    "completions": chat,
    "embeddings": embeddings,
    "responses": responses,
    "messages": messages,
}
STREAMS = {
    "completions": chat_stream,
    "responses": responses_stream,
    "messages": messages_stream,
}
