"""The web process's one subscription, through a real Valkey."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from apps.core import live_hints, notifications

DEADLINE_SECONDS = 10.0


@pytest.fixture
def broker(redis_url: str) -> None:
    notifications._redis.cache_clear()


@pytest.mark.parametrize("steps", range(0, 120, 3))
async def test_ends_when_cancelled_at_any_moment(broker: None, steps: int) -> None:
    hub = live_hints.Hub()
    async with hub.listen(["a"]):
        task = hub._task
        assert task is not None
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()

        done, _ = await asyncio.wait([task], timeout=DEADLINE_SECONDS)

    assert done


async def test_hands_hints_to_those_who_listen(broker: None) -> None:
    async with live_hints.hub().listen(["a"]) as queue, asyncio.timeout(DEADLINE_SECONDS):
        while queue.empty():
            await sync_to_async(notifications.publish)("b", {"n": 2})
            await sync_to_async(notifications.publish)("a", {"n": 1})
            await asyncio.sleep(0.02)

        assert queue.get_nowait() == ("a", {"n": 1})
