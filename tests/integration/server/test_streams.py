"""Live streams through the application that is served: none holds a thread or a connection."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.core import signals
from django.db import connection
from django.db import connections as db_connections
from django.test import Client

from apps.core import notifications
from dstack_web.asgi import application
from tests import people as peoples
from tests.people import People

communicator: Any = ApplicationCommunicator  # it has no types
STREAMS = 60
# Those of the pool, which database calls of streams share, and some of the test's own.
MOST_MORE_THREADS = 40
SECONDS = 20.0


@pytest.fixture
def people(transactional_db: None, redis_url: str) -> People:
    notifications._redis.cache_clear()
    return peoples.make()


def request(path: str, query: str, cookie: str) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }


async def opened(scope: dict[str, Any]) -> Any:
    """A stream whose first part has come."""
    stream = communicator(application, scope)
    await stream.send_input({"type": "http.request", "body": b""})
    assert (await stream.receive_output(SECONDS))["status"] == 200
    assert (await stream.receive_output(SECONDS))["body"]
    return stream


def connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        (count,) = cursor.fetchone()
    return int(count)


async def live_page(people: People) -> dict[str, Any]:
    """The stream of a page that alice looks at."""
    client = Client()
    # Another test may have ended the connection of this thread.
    await sync_to_async(db_connections.close_all)()
    await sync_to_async(client.force_login)(people.alice)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    return request("/live", f"project={people.project.name}", cookie)


@pytest.mark.asyncio
async def test_many_live_pages_hold_neither_threads_nor_connections(people: People) -> None:
    scope = await live_page(people)
    before = threading.active_count()

    streams = [await opened(dict(scope)) for _ in range(STREAMS)]
    for _ in range(100):
        if threading.active_count() - before < MOST_MORE_THREADS:
            break
        await asyncio.sleep(0.1)

    assert threading.active_count() - before < MOST_MORE_THREADS
    assert await sync_to_async(connections)() < STREAMS / 2
    for stream in streams:
        await stream.send_input({"type": "http.disconnect"})
        await stream.wait(SECONDS)


@pytest.mark.asyncio
async def test_many_that_end_at_once_share_a_thread(people: People) -> None:
    scope = await live_page(people)
    streams = [await opened(dict(scope)) for _ in range(STREAMS)]
    ended_in: list[str] = []

    def note(**_: Any) -> None:
        ended_in.append(threading.current_thread().name)

    signals.request_finished.connect(note)
    try:
        for stream in streams:
            await stream.send_input({"type": "http.disconnect"})
        for stream in streams:
            await stream.wait(SECONDS)
    finally:
        signals.request_finished.disconnect(note)

    assert len(ended_in) == STREAMS
    assert len(set(ended_in)) == 1
