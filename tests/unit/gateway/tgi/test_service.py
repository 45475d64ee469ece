"""The adapter's life."""

from __future__ import annotations

import asyncio

import pytest

from gateway.tgi.service import Adapter
from gateway.tgi.templates import Renderer

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("turns", range(4))
async def test_is_stopped_in_the_moment_in_which_it_becomes_ready(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready: list[asyncio.Event] = []
    starting = Renderer.start

    async def start(renderer: Renderer) -> None:
        ready.append(renderer._up)
        await starting(renderer)

    monkeypatch.setattr(Renderer, "start", start)
    running = asyncio.create_task(Adapter().run())
    while not ready:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    ready[0].set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()

    done, _ = await asyncio.wait([running], timeout=10)
    assert done == {running}
