"""A stream whose reader goes while a piece is on its way to it."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import pytest

from apps.core.http.closed_stream import ClosedStream


@pytest.fixture
def untidied() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def test_ends_with_its_reader(untidied: None) -> None:
    held = {"listener"}

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            held.clear()

    response = ClosedStream(pieces(), content_type="text/plain")

    # As Django's handler does.
    async with aclosing(aiter(response)) as content:
        assert await anext(content) == b"1"
        assert held

    assert not held
