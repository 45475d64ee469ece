"""TGI's answers as OpenAI's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.tgi import answer, errors
from gateway.tgi.errors import Refused
from gateway.tgi.request import read_chat

HI = [{"role": "user", "content": "hi"}]


def said(text: str, reason: str, **details: Any) -> dict[str, Any]:
    return {
        "generated_text": text,
        "details": {"finish_reason": reason, "generated_tokens": 2, "tokens": [], **details},
    }


@pytest.mark.parametrize(
    ("text", "reason", "content", "finish"),
    [
        ("hello", "eos_token", "hello", "stop"),
        ("hello</s>", "eos_token", "hello", "stop"),
        ("hello END", "stop_sequence", "hello ", "stop"),
        ("hello END", "length", "hello END", "length"),
        ("hello ENDED", "stop_sequence", "hello ENDED", "stop"),
    ],
)
def test_cuts_off_what_ended_the_text(text: str, reason: str, content: str, finish: str) -> None:
    asked = read_chat({"messages": HI, "stop": "END"}, eos_token="</s>")
    got = answer.read_generated(said(text, reason), prompt_tokens="5")

    choice = answer.choice(asked, 0, got, prompt="")

    assert (choice["message"]["content"], choice["finish_reason"]) == (content, finish)


@pytest.mark.parametrize(
    ("header", "prefill", "count"),
    [("5", [], 5), (None, [{}, {}], 2), ("x", [], 0)],
)
def test_counts_the_prompt(header: str | None, prefill: list[Any], count: int) -> None:
    got = answer.read_generated(said("a", "length", prefill=prefill), prompt_tokens=header)

    assert (got.prompt_tokens, got.completion_tokens) == (count, 2)


def test_reads_an_answer_without_details() -> None:
    got = answer.read_generated({"generated_text": "a", "details": None}, prompt_tokens=None)

    assert (got.text, got.finish, got.completion_tokens) == ("a", "eos_token", 0)


@pytest.mark.parametrize("other", [None, [], {}, {"generated_text": 5}, "text"])
def test_refuses_what_is_no_answer(other: Any) -> None:
    with pytest.raises(Refused) as refused:
        answer.read_generated(other, prompt_tokens=None)

    assert refused.value.status == 502


@pytest.mark.parametrize(
    ("status", "body", "told", "message", "code"),
    [
        (422, b'{"error": "too long", "error_type": "validation"}', 400, "too long", "validation"),
        (429, b'{"error": "overloaded", "error_type": "o"}', 429, "overloaded", "o"),
        (424, b'{"error": "failed", "error_type": "generation"}', 502, "failed", "generation"),
        (500, b"<html>", 502, "The model's server answered 500.", None),
        (404, b"", 502, "The model's server answered 404.", None),
        (503, b'{"error": {"message": "asleep", "code": "held"}}', 503, "asleep", "held"),
        (503, b"[1]", 503, "The model's server answered 503.", None),
    ],
)
def test_tells_what_the_server_refused(
    status: int, body: bytes, told: int, message: str, code: str | None
) -> None:
    refused = errors.of_upstream(status, body, retry_after_seconds="7")

    assert (refused.status, refused.message, refused.code) == (told, message, code)
    assert refused.retry_after_seconds == "7"
