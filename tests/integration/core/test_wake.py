from __future__ import annotations

import json
import time

import pytest
import redis
from pytest_django import Settings

from apps.core import wake
from apps.core.ids import new_id

pytestmark = pytest.mark.django_db


def test_costs_little_when_the_broker_is_away(settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    wake._redis.cache_clear()
    started_at = time.monotonic()

    wake.publish("anything")
    wake.transitioned("grants", "changed", [new_id()])

    wake._redis.cache_clear()
    assert time.monotonic() - started_at < 2


def test_tells_who_listens(redis_url: str) -> None:
    wake._redis.cache_clear()
    client = redis.Redis.from_url(redis_url)
    subscription = client.pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe("dstack:run:1")
    subscription.get_message(timeout=5)

    wake.publish("run:1", {"name": "hello"})

    message = subscription.get_message(timeout=5)
    assert message is not None
    assert json.loads(message["data"]) == {"name": "hello"}
    subscription.close()
    client.close()
