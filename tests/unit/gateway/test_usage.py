"""Tokens that an answer says it used."""

from __future__ import annotations

import pytest

from gateway.openai.usage import MOST_END_BYTES, Ending, Tokens

USAGE = b'"usage":{"prompt_tokens":7,"completion_tokens":3}'
STREAM, JSON = "text/event-stream", "application/json"
LAST = b'data: {"choices":[],' + USAGE + b"}\n\ndata: [DONE]\n\n"


def read(content_type: str, *pieces: bytes) -> Tokens | None:
    ending = Ending(content_type)
    for piece in pieces:
        ending.feed(piece)
    return ending.tokens()


@pytest.mark.parametrize(
    ("content_type", "pieces", "found"),
    [
        (STREAM, [LAST], (7, 3)),
        (STREAM, [LAST.replace(b"\n", b"\r\n")], (7, 3)),
        (STREAM, [LAST[:30], LAST[30:50], LAST[50:]], (7, 3)),
        (STREAM, [b"data: {}\n\n" * MOST_END_BYTES, LAST], (7, 3)),
        (STREAM, [b'data: {"usage":{"prompt_tokens":7}}\n\n', b"data: [DONE]\n\n"], (7, 0)),
        (STREAM, [LAST, b'data: {"usage":null}\n\n'], (7, 3)),
        (STREAM, [b'data: {"choices":[""usage""]}\n\n'], None),
        (STREAM, [b'data: {"usage":\n\n'], None),
        (STREAM, [b'data: {"usage":{"prompt_tokens":-1,"completion_tokens":1e99}}\n\n'], (0, 0)),
        (STREAM, [b'data: ["usage"]\n\n'], None),
        (STREAM, [b"data: " + b"[" * 10_000 + b'"usage"\n\n'], None),
        (STREAM, [b""], None),
        (JSON, [b"{" + USAGE, b"}"], (7, 3)),
        (JSON, [b'{"a":"' + b"x" * MOST_END_BYTES + b'",' + USAGE + b"}"], None),
        ("text/plain", [LAST], None),
    ],
)
def test_reads_what_was_used(content_type: str, pieces: list[bytes], found: Tokens | None) -> None:
    assert read(content_type, *pieces) == found
