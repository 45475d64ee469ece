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


async def test_tells_those_who_listen(broker: None) -> None:
    async with live_hints.hub().listen(["a"]) as hints, asyncio.timeout(DEADLINE_SECONDS):
        assert await hints.get() == {"a"}  # the connection stands

        await sync_to_async(notifications.publish)("b", {"n": 2})
        await sync_to_async(notifications.publish)("a", {"n": 1})

        assert await hints.get() == {"a"}


async def test_whoever_came_before_the_connection_stood_is_told_of_each_channel(
    broker: None,
) -> None:
    hub = live_hints.Hub()
    async with hub.listen(["a", "b"]) as first, hub.listen(["b"]) as second:
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await first.get(), await second.get()) == ({"a", "b"}, {"b"})


async def test_all_are_told_when_the_connection_stands_again(broker: None) -> None:
    hub = live_hints.Hub()
    async with hub.listen(["a"]) as hints, asyncio.timeout(DEADLINE_SECONDS):
        await hints.get()

        await sync_to_async(_cut_subscriptions)()

        assert await hints.get() == {"a"}


def _cut_subscriptions() -> None:
    notifications._redis().client_kill_filter(_type="pubsub")


async def test_a_channel_that_says_much_hides_no_other() -> None:
    hints = live_hints.Hints()
    hints.add("run")
    for _ in range(1_000):
        hints.add("metrics")

    assert await hints.get() == {"run", "metrics"}
    assert hints.taken() == set()
