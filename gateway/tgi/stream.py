"""TGI's stream as OpenAI's, event by event. Pure: bytes and parsed events in, plain data out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.tgi import answer, errors, tools
from gateway.tgi.errors import Refused
from gateway.tgi.request import Asked

# The last event repeats the whole text.
MOST_EVENT_BYTES = 32 * 2**20


class Events:
    """Takes the bytes of a server-sent stream, gives the JSON of its `data:` lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Give the events that are whole now; raises Refused."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_EVENT_BYTES:
            raise Refused("The model's server sent an event without an end.", status=502)
        for line in lines:
            if line.startswith(b"data:"):
                yield _event(line[5:])


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise Refused("The model's server sent an event that is no JSON object.", status=502)
    return event


class StopBuffer:
    """Holds back what may be the beginning of a stop, until it is known."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    def push(self, text: str) -> str:
        """Return what can be said now."""
        held = self._held + text
        longest = min(max(map(len, self._stops), default=0), len(held))
        kept = next((n for n in range(longest, 0, -1) if self._may_stop(held[-n:])), 0)
        said, self._held = held[: len(held) - kept], held[len(held) - kept :]
        return said

    def _may_stop(self, ending: str) -> bool:
        return any(stop.startswith(ending) for stop in self._stops)

    def end(self, finish: str) -> str:
        held, self._held = self._held, ""
        return answer.cut(held, self._stops, finish)


class ChoiceStream:
    """One choice while it is streamed; the counts are there once it has `finished`."""

    def __init__(self, asked: Asked, index: int, *, prompt: str) -> None:
        self.finished = False
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._asked = asked
        self.index = index
        self._stop_buffer = StopBuffer(asked.stops)
        self._begun = False
        self._prompt = prompt if asked.echo else ""
        self._offset = len(self._prompt)
        # With tools the whole answer must be known before its kind is.
        self._written: list[str] | None = [] if asked.tools is not None else None

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the choices to send for an event of TGI; raises Refused."""
        if "error" in event:
            raise errors.in_stream(event)
        token = event.get("token")
        if not isinstance(token, dict):
            raise Refused("The model's server sent an event without a token.", status=502)
        text = "" if token.get("special") else str(token.get("text") or "")
        said = self._stop_buffer.push(text)
        self.completion_tokens += 1
        if event.get("generated_text") is None:
            return self._part(said, event)
        return self._last(said, event)

    def _last(self, said: str, event: dict[str, Any]) -> list[dict[str, Any]]:
        details = event.get("details") or {}
        self.finished = True
        self.prompt_tokens = details.get("input_length") or self.prompt_tokens
        self.completion_tokens = details.get("generated_tokens") or self.completion_tokens
        ended_by = details.get("finish_reason") or "eos_token"
        choices = self._part(said + self._stop_buffer.end(ended_by), event)
        finish = answer.FINISH.get(ended_by, "stop")
        if self._written is not None:
            delta, finish = self._tool_delta("".join(self._written), finish)
            choices.append(self._choice(delta))
        choices.append(self._choice({}, finish=finish))
        return choices

    def _part(self, text: str, event: dict[str, Any]) -> list[dict[str, Any]]:
        choices = []
        if not self._begun:
            self._begun = True
            if self._asked.chat:
                choices.append(self._choice({"role": "assistant", "content": ""}))
            text = self._prompt + text
        if self._written is not None:
            self._written.append(text)
        elif text or (self._asked.logprobs and not event["token"].get("special")):
            choices.append(self._choice({"content": text}, logprobs=self._logprobs(event)))
        return choices

    def _tool_delta(self, text: str, finish: str) -> tuple[dict[str, Any], str]:
        call, content = tools.called(text)
        if call is None:
            return {"content": content}, finish
        return {"tool_calls": [{"index": 0, **call}]}, "tool_calls"

    def _logprobs(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if not self._asked.logprobs:
            return None
        tokens, best = [event["token"]], [event.get("top_tokens") or []]
        if self._asked.chat:
            return answer.chat_logprobs(tokens, best)
        found = answer.completion_logprobs(tokens, best, offset=self._offset)
        self._offset += sum(map(len, found["tokens"]))
        return found

    def _choice(
        self, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        said = {"delta": delta} if self._asked.chat else {"text": delta.get("content", "")}
        return {"index": self.index, **said, "logprobs": logprobs, "finish_reason": finish}
