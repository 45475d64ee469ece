from __future__ import annotations

import asyncio
import errno
import json
import os
from typing import Any

import pytest

from dstack_web.web.body_limit import SPARE_BYTES, STEP_BYTES, BodyLimit

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


async def full(scope: Any, receive: Any, send: Any) -> None:
    """Has no room to keep the body, as Django where the disk of temporary files is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def send_body(*chunks: bytes, headers: list[Any] | None = None) -> tuple[int, int]:
    """Return the status and how many chunks were read."""
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


async def test_says_that_the_disk_is_full_on_which_a_body_is_kept() -> None:
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Any) -> None:
        answers.append(message)

    await BodyLimit(full, most_bytes=LIMIT)({"type": "http", "headers": []}, receive, send)

    assert answers[0]["status"] == 507
    assert json.loads(answers[1]["body"])["error"]["code"] == "disk_full"


async def at_pace(*pauses: float, size: int = 1, step_seconds: float = 0.2) -> int:
    """Return the status of a body whose chunks of `size` come after these pauses."""
    answers: list[Any] = []
    left = list(pauses)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(left.pop(0))
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(left)}

    async def send(message: Any) -> None:
        answers.append(message)

    limited = BodyLimit(echo, most_bytes=2**30, step_seconds=step_seconds)
    await limited({"type": "http", "headers": []}, receive, send)
    return int(answers[0]["status"])


@pytest.mark.parametrize("pauses", [[60], [0, 60], [0.06] * 100])
async def test_ends_a_body_that_comes_too_slowly(pauses: list[float]) -> None:
    assert await at_pace(*pauses) == 408


async def test_a_burst_earns_no_time_for_later() -> None:
    left = [b"x" * 50 * STEP_BYTES]
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": left.pop(), "more_body": True}

    async def send(message: Any) -> None:
        answers.append(message)

    await BodyLimit(echo, most_bytes=2**30, step_seconds=0.2)(
        {"type": "http", "headers": []}, receive, send
    )

    assert answers[0]["status"] == 408


async def test_a_body_at_an_honest_pace_may_take_long() -> None:
    assert await at_pace(*[0.06] * 20, size=STEP_BYTES) == 200


async def test_who_has_sent_all_is_not_hurried() -> None:
    messages: list[Any] = [{"type": "http.request", "body": b"x", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(0.5)
            return {"type": "http.disconnect"}
        found: dict[str, Any] = messages.pop()
        return found

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append(await receive())

    async def send(message: Any) -> None:
        raise AssertionError(message)

    seen: list[Any] = []
    await BodyLimit(waits, most_bytes=10, step_seconds=0.1)(
        {"type": "http", "headers": []}, receive, send
    )

    assert seen == [{"type": "http.disconnect"}]


async def test_time_in_which_nobody_reads_is_not_the_callers() -> None:
    messages = [b"x"] * 5

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": messages.pop(), "more_body": bool(messages)}

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            await asyncio.sleep(0.1)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        answers.append(message)

    answers: list[Any] = []
    await BodyLimit(slow, most_bytes=10, step_seconds=0.2)(
        {"type": "http", "headers": []}, receive, send
    )

    assert answers[0]["status"] == 200
