"""The one stream of a page: real hints through a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from apps.accounts.models import Member, User
from apps.core import notifications
from apps.core.http.htmx import live_url
from apps.core.models import Event
from apps.runs.models import Run
from dstack_web.web import live
from tests import factories
from tests import people as peoples
from tests.people import People

SECONDS = 10.0


@pytest.fixture
def people(transactional_db: None, redis_url: str) -> People:
    notifications._redis.cache_clear()
    return peoples.make()


async def opened(user: User, **asked: str) -> Any:
    client = AsyncClient()
    await client.aforce_login(user)
    return await client.get("/live", asked)


@contextlib.asynccontextmanager
async def events(answer: Any) -> AsyncIterator[Any]:
    stream = answer.streaming_content.__aiter__()
    yield stream
    await stream.aclose()


async def hinted(stream: Any, channel: str, name: str) -> bool:
    """Send hints until the stream says `name`: the process's subscription may just be starting."""

    async def send() -> None:
        while True:
            await sync_to_async(notifications.publish)(channel, {})
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(SECONDS):
            async for part in stream:
                if f"event: {name}".encode() in part:
                    return True
        return False
    finally:
        sending.cancel()


async def test_tells_of_a_change_in_the_project(people: People) -> None:
    async with events(await opened(people.bob, project="main")) as stream:
        assert b"event: ready" in await anext(stream)

        assert await hinted(stream, f"project:{people.project.pk}", "changed")


async def test_tells_of_new_log_lines_where_asked(people: People) -> None:
    run = await sync_to_async(factories.run)(people.project)
    answer = await opened(people.bob, project="main", run=str(run.pk), logs="1")

    async with events(answer) as stream:
        assert await hinted(stream, f"logs:{run.pk}", "logs")


async def test_says_at_once_that_something_was_missed(people: People) -> None:
    run = await sync_to_async(factories.run)(people.project)
    await sync_to_async(_note)(run)
    before = str(int((time.time() - 60) * 1000))

    async with events(await opened(people.bob, project="main", last=before)) as stream:
        first, second = await anext(stream), await anext(stream)

    assert b"event: ready" in first
    assert b"event: changed" in second


async def test_hears_what_happened_while_the_page_loaded(people: People) -> None:
    url = live_url(project="main")
    run = await sync_to_async(factories.run)(people.project)
    await sync_to_async(_note)(run)
    client = AsyncClient()
    await client.aforce_login(people.bob)

    async with events(await client.get(url)) as stream:
        first, second = await anext(stream), await anext(stream)

    assert b"event: ready" in first
    assert b"event: changed" in second


def _note(run: Run) -> None:
    Event.objects.create(
        state_machine="run", object_id=run.pk, version=0, new="running", at=run.state_at
    )


async def test_ends_for_who_is_no_member_any_more(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RECHECK_SECONDS", 0.0)
    async with events(await opened(people.bob, project="main")) as stream:
        await anext(stream)
        await Member.objects.filter(user=people.bob).adelete()

        assert await hinted(stream, f"project:{people.project.pk}", "gone")


@pytest.mark.parametrize("asked", [{}, {"project": "nope"}, {"project": "main", "run": "x"}])
async def test_finds_nothing_else(people: People, asked: dict[str, str]) -> None:
    assert (await opened(people.bob, **asked)).status_code == 404


async def test_is_not_found_by_a_stranger(people: People) -> None:
    assert (await opened(people.charlie, project="main")).status_code == 404


async def test_asks_to_sign_in(people: People) -> None:
    assert (await AsyncClient().get("/live", {"project": "main"})).status_code == 401


async def test_refuses_a_post(people: People) -> None:
    assert (await AsyncClient().post("/live")).status_code == 405


@pytest.mark.parametrize("last", ["x", "-1", "9" * 14, "1" * 40, "٣"])
async def test_takes_any_last_id(people: People, last: str) -> None:
    async with events(await opened(people.bob, project="main", last=last)) as stream:
        assert b"event: ready" in await anext(stream)
