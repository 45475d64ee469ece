"""TGI's answers as OpenAI's. Pure: parsed JSON in, plain data out."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from gateway.tgi import tools
from gateway.tgi.errors import Refused
from gateway.tgi.request import Asked

FINISH = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


@dataclass(frozen=True)
class Envelope:
    """What all chunks of one answer share."""

    model: str
    chat: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def around(self, choices: list[dict[str, Any]], *, chunk: bool = False) -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_tgi",
            "choices": choices,
        }


@dataclass(frozen=True)
class Generated:
    """One answer of `/generate`, looked at."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    tokens: list[dict[str, Any]]
    top_tokens: list[list[dict[str, Any]]]


def read_generated(said: Any, *, prompt_tokens: str | None) -> Generated:
    """Read an answer of `/generate`; `prompt_tokens` is its header of that
    name. Raise Refused where it is none."""
    if not isinstance(said, dict) or not isinstance(said.get("generated_text"), str):
        raise Refused("The model's server gave no answer of TGI's form.", status=502)
    details = said.get("details") or {}
    prefill = details.get("prefill") or []
    counted = int(prompt_tokens) if prompt_tokens and prompt_tokens.isdigit() else len(prefill)
    return Generated(
        text=said["generated_text"],
        finish=details.get("finish_reason") or "eos_token",
        prompt_tokens=counted,
        completion_tokens=details.get("generated_tokens") or 0,
        tokens=details.get("tokens") or [],
        top_tokens=details.get("top_tokens") or [],
    )


def choice(asked: Asked, index: int, got: Generated, *, prompt: str) -> dict[str, Any]:
    """Return one choice of an answer that is not streamed."""
    text = cut(got.text, asked.stops, got.finish)
    finish = FINISH.get(got.finish, "stop")
    if not asked.chat:
        return {
            "index": index,
            "text": prompt + text if asked.echo else text,
            "logprobs": completion_logprobs(got.tokens, got.top_tokens) if asked.logprobs else None,
            "finish_reason": finish,
        }
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if asked.tools is not None:
        call, message["content"] = tools.called(text)
        if call is not None:
            message["tool_calls"], finish = [call], "tool_calls"
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(got.tokens, got.top_tokens) if asked.logprobs else None,
        "finish_reason": finish,
    }


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def cut(text: str, stops: tuple[str, ...], finish: str) -> str:
    """Return the text without the stop that ended it: TGI leaves it there."""
    if finish == "length":
        return text
    ending = max((stop for stop in stops if text.endswith(stop)), key=len, default="")
    return text[: len(text) - len(ending)]


def chat_logprobs(
    tokens: list[dict[str, Any]], top_tokens: list[list[dict[str, Any]]]
) -> dict[str, Any]:
    rows = []
    for num, token in enumerate(tokens):
        if not token.get("special"):
            best = top_tokens[num] if num < len(top_tokens) else []
            rows.append({**_logprob(token), "top_logprobs": [_logprob(each) for each in best]})
    return {"content": rows, "refusal": None}


def _logprob(token: dict[str, Any]) -> dict[str, Any]:
    text = str(token.get("text", ""))
    # TGI gives null for what it cannot know; OpenAI's form has a number for that.
    logprob = token.get("logprob")
    return {
        "token": text,
        "logprob": -9999.0 if logprob is None else logprob,
        "bytes": list(text.encode("utf-8", "surrogatepass")),
    }


def completion_logprobs(
    tokens: list[dict[str, Any]], top_tokens: list[list[dict[str, Any]]], *, offset: int = 0
) -> dict[str, Any]:
    shown = [(num, token) for num, token in enumerate(tokens) if not token.get("special")]
    texts = [str(token.get("text", "")) for _, token in shown]
    offsets = []
    for text in texts:
        offsets.append(offset)
        offset += len(text)
    best = [top_tokens[num] if num < len(top_tokens) else [] for num, _ in shown]
    return {
        "tokens": texts,
        "token_logprobs": [token.get("logprob") for _, token in shown],
        "top_logprobs": [{str(t.get("text")): t.get("logprob") for t in row} for row in best],
        "text_offset": offsets,
    }
