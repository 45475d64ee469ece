from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import AsyncClient, Client
from django.utils import timezone

from apps.accounts.models import Member, User
from apps.core.threads import in_thread
from apps.telemetry.logs import api, stream
from tests import factories
from tests.printing import Printer

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/projects/main/runs/hello/logs"
FILE = "/projects/main/services/hello/log-file/"
DEADLINE_SECONDS = 10


@pytest.fixture
def headers(replica: Printer) -> dict[str, str]:
    return factories.token(replica.run.user).headers


async def lines(headers: dict[str, str], **params: Any) -> list[dict[str, Any]]:
    response = await AsyncClient().get(URL, params, headers=headers)
    assert response["Content-Type"] == "application/x-ndjson"
    body = b"".join([chunk async for chunk in response])  # type: ignore[attr-defined]
    return [json.loads(line) for line in body.splitlines()]


async def test_answers_all_lines(replica: Printer, headers: dict[str, str]) -> None:
    await in_thread(replica.send, *[f"line {seq}" for seq in range(5000)])

    found = await lines(headers)

    assert [line["text"] for line in found] == [f"line {seq}" for seq in range(5000)]
    assert set(found[0]) == {"time", "replica", "text", "cursor"}


async def test_goes_on_after_a_cursor(replica: Printer, headers: dict[str, str]) -> None:
    await in_thread(replica.send, "a", "b", "c")
    first, *_ = await lines(headers)

    found = await lines(headers, cursor=first["cursor"])

    assert [line["text"] for line in found] == ["b", "c"]


async def test_filters_and_limits(replica: Printer, headers: dict[str, str]) -> None:
    await in_thread(replica.send, "apple", "pear", "Apple pie", "apples")

    found = await lines(headers, grep="apple", replica=0, since="10m", limit=2)

    assert [line["text"] for line in found] == ["apple", "Apple pie"]


@pytest.mark.parametrize(
    ("params", "texts"),
    [
        ({"tail": 0}, []),
        ({"tail": 2}, ["apple 3", "pear 3"]),
        ({"tail": 3}, ["pear 2", "apple 3", "pear 3"]),
        ({"tail": 99}, [f"{fruit} {n}" for n in range(4) for fruit in ("apple", "pear")]),
        ({"tail": 2, "grep": "apple"}, ["apple 2", "apple 3"]),
        ({"tail": 2, "limit": 1}, ["apple 3"]),
        ({"tail": 2, "replica": 1}, []),
    ],
)
async def test_gives_the_newest_lines(
    replica: Printer, headers: dict[str, str], params: dict[str, Any], texts: list[str]
) -> None:
    for n in range(4):
        await in_thread(replica.send, f"apple {n}", f"pear {n}", first=2 * n)

    assert [line["text"] for line in await lines(headers, **params)] == texts


HOSTILE = [
    {"cursor": "x"},
    {"replica": -1},
    {"replica": 2**70},
    {"since": "never"},
    {"limit": 0},
    {"tail": -1},
    {"tail": "x"},
    {"limit": "many"},
    {"follow": "perhaps"},
    {"grep": "x" * 2000},
]


@pytest.mark.parametrize("params", HOSTILE, ids=str)
def test_refuses_a_parameter_that_makes_no_sense(
    replica: Printer, headers: dict[str, str], params: dict[str, Any]
) -> None:
    response = Client(headers=headers).get(URL, params)

    assert response.status_code == 422
    assert next(iter(params)) in response.json()["error"]["message"]


def test_finds_no_log_of_an_unknown_run(replica: Printer, headers: dict[str, str]) -> None:
    client = Client(headers=headers)

    assert client.get("/api/projects/main/runs/other/logs").status_code == 404
    assert client.get("/api/projects/other/runs/hello/logs").status_code == 404


async def following(headers: dict[str, str], **params: Any) -> AsyncIterator[dict[str, Any]]:
    response = await AsyncClient().get(URL, {"follow": 1, **params}, headers=headers)
    async for chunk in response:  # type: ignore[attr-defined]
        for line in chunk.splitlines():
            yield json.loads(line) if line else {"text": None}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AFTERMATH", timedelta(0))
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.1)


def end(replica: Printer) -> None:
    replica.run.state, replica.run.state_at = "stopped", timezone.now()
    replica.run.save()


async def test_follows_until_the_run_is_over(
    replica: Printer, headers: dict[str, str], quick: None, redis_url: str
) -> None:
    source = following(headers)
    await in_thread(replica.send, "first")

    async with asyncio.timeout(DEADLINE_SECONDS):
        seen = [(await anext(source))["text"]]
        await in_thread(replica.send, "second", first=1)
        seen.append((await anext(source))["text"])
        await in_thread(end, replica)
        seen += [line["text"] async for line in source]

    assert seen == ["first", "second"]


async def test_hears_of_a_new_line_at_once(
    replica: Printer, headers: dict[str, str], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 60.0)
    source = following(headers)
    await in_thread(replica.send, "first")

    async with asyncio.timeout(DEADLINE_SECONDS):
        await anext(source)
        coming = asyncio.ensure_future(anext(source))
        seq = 1
        while not coming.done():
            # The hub subscribes beside the first read: a hint may come before it listens.
            await in_thread(replica.send, "next", first=seq)
            await asyncio.wait([coming], timeout=0.5)
            seq += 1

    assert coming.result()["text"] == "next"
    await source.aclose()  # type: ignore[attr-defined]


async def test_sends_a_sign_of_life_while_nothing_is_printed(
    replica: Printer, headers: dict[str, str], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "HEARTBEAT_SECONDS", 0.0)
    source = following(headers)

    async with asyncio.timeout(DEADLINE_SECONDS):
        assert (await anext(source))["text"] is None
    await source.aclose()  # type: ignore[attr-defined]


async def test_stops_for_somebody_who_was_removed(
    replica: Printer, headers: dict[str, str], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "RECHECK_SECONDS", 0.0)
    source = following(headers)
    await in_thread(replica.send, "first")

    async with asyncio.timeout(DEADLINE_SECONDS):
        await anext(source)
        await in_thread(Member.objects.all().delete)
        rest = [line async for line in source]

    assert rest[-1]["error"]["code"] == "not_found"


async def test_holds_no_connection_while_it_waits(
    replica: Printer, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 60.0)
    sessions_before = await in_thread(_sessions)
    source = following(headers)
    await in_thread(replica.send, "first")

    async with asyncio.timeout(DEADLINE_SECONDS):
        await anext(source)
        waiting = asyncio.ensure_future(anext(source))
        while await in_thread(_sessions) > sessions_before:
            await asyncio.sleep(0.01)

    assert not waiting.done()
    waiting.cancel()


def _sessions() -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


async def browser_of(user: User) -> AsyncClient:
    client = AsyncClient()
    await in_thread(client.force_login, user)
    return client


async def test_gives_a_member_the_log_as_a_file(replica: Printer) -> None:
    await in_thread(replica.send, "INFO well", "\x1b[31mERROR\x1b[0m bad <b>")
    client = await browser_of(replica.run.user)

    answer = await client.get(FILE, {"level": "error"})

    assert answer["Content-Disposition"].startswith('attachment; filename="hello-')
    body = b"".join([chunk async for chunk in answer])  # type: ignore[attr-defined]
    assert re.fullmatch(r"\S+Z 0 ERROR bad <b>\n", body.decode())


async def test_gives_strangers_no_file(replica: Printer) -> None:
    charlie = await in_thread(factories.user, "charlie")

    assert (await (await browser_of(charlie)).get(FILE)).status_code == 404
    assert (await AsyncClient().get(FILE)).status_code == 401


async def test_shows_one_level(replica: Printer, headers: dict[str, str]) -> None:
    await in_thread(replica.send, "INFO well", "WARNING low", "ERROR bad")

    found = await lines(headers, level="warning")

    assert [line["text"] for line in found] == ["WARNING low", "ERROR bad"]
