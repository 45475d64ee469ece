from __future__ import annotations

from typing import Any

import pytest

from dstack_web.body_limit import SPARE_BYTES, BodyLimit

LIMIT = 1000


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads all, as Django does, then says how much there was."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def send_body(*chunks: bytes, headers: list[Any] | None = None) -> tuple[int, int]:
    """Returns the status and how many chunks were read."""
    answers: list[Any] = []
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "headers": headers or []}
    await BodyLimit(echo, most_bytes=LIMIT)(scope, receive, send)
    return answers[0]["status"], len(chunks) - len(left)


async def test_lets_a_body_within_the_bound_pass() -> None:
    assert await send_body(b"x" * LIMIT) == (200, 1)


@pytest.mark.parametrize("size", [b"9999999999", b"9" * 30])
async def test_refuses_by_the_declared_length_without_reading(size: bytes) -> None:
    assert await send_body(b"x", headers=[(b"content-length", size)]) == (413, 0)


async def test_stops_reading_a_body_that_does_not_say_how_long_it_is() -> None:
    chunks = [b"x" * SPARE_BYTES] * 5

    assert await send_body(*chunks) == (413, 2)
