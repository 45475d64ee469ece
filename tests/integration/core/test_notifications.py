from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
import redis
from pytest_django import Settings

from apps.core import notifications
from apps.core.ids import new_id
from apps.core.stores.valkey import Pause

pytestmark = pytest.mark.django_db


def test_costs_little_when_the_broker_is_away(settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    notifications._redis.cache_clear()
    started_at = time.monotonic()

    notifications.publish("anything")
    notifications.transitioned("grants", "changed", [new_id()])

    notifications._redis.cache_clear()
    assert time.monotonic() - started_at < 2


def test_a_broker_that_hangs_costs_one_wait(settings: Settings, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "valkey.sock"))
        silent.listen()
        settings.REDIS_URL = f"unix://{tmp_path}/valkey.sock"
        notifications._redis.cache_clear()
        started_at = time.monotonic()

        for _ in range(20):
            notifications.publish("anything")

        notifications._redis.cache_clear()
    assert time.monotonic() - started_at < 2.5


def test_a_pause_ends() -> None:
    pause = Pause()
    before = pause.is_on
    pause.begin()
    begun = pause.is_on
    pause.end()

    assert (before, begun, pause.is_on) == (False, True, False)


def test_tells_who_listens(redis_url: str) -> None:
    notifications._redis.cache_clear()
    client = redis.Redis.from_url(redis_url)
    subscription = client.pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe("dstack:run:1")
    subscription.get_message(timeout=5)

    notifications.publish("run:1", {"name": "hello"})

    message = subscription.get_message(timeout=5)
    assert message is not None
    assert json.loads(message["data"]) == {"name": "hello"}
    subscription.close()
    client.close()
