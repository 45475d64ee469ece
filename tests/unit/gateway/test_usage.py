"""Tokens that an answer says it used."""

from __future__ import annotations

import pytest

from gateway.openai.usage import Tokens, of_json
from gateway.traffic import token_usage
from gateway.traffic.token_usage import TokenUsage


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"usage":{"prompt_tokens":7,"completion_tokens":3}}', (7, 3)),
        (b'{"usage":{"prompt_tokens":7}}', (7, 0)),
        (b'{"usage":{"prompt_tokens":-1,"completion_tokens":1e99}}', (0, 0)),
        (b'{"usage":{"prompt_tokens":true,"completion_tokens":"3"}}', (0, 0)),
        (b'{"usage":null}', None),
        (b'{"choices":["usage"]}', None),
        (b'["usage"]', None),
        (b'{"usage":', None),
        (b"[" * 10_000 + b'"usage"', None),
        (b"", None),
    ],
)
def test_reads_what_was_used(text: bytes, found: Tokens | None) -> None:
    assert of_json(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("e 1 5 0 0 0 5 used k 7 3", TokenUsage("e", "k", 7, 3)),
        ("e 0 5 0 0 0 5 used - 7 3", TokenUsage("e", "", 7, 3)),
        ("e 1 5 0 0 0 5 used k 7 -", TokenUsage("e", "k", 7, 0)),
        ("e 1 5 0 0 0 5 used k 0 0", TokenUsage("e", "k", 0, 0)),
        ("e 1 5 0 0 0 5 used k - -", None),
        ("e 1 5 0 0 0 5 used k 7", None),
        ("e 1 5 0 0 0 5 used", None),
        ("e 1 5 0 0 0 5", None),
        ("", None),
    ],
)
def test_reads_what_haproxy_tells(text: str, found: TokenUsage | None) -> None:
    assert token_usage.parse(text) == (text.partition(" used ")[0], found)
