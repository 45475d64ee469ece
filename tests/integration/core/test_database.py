"""A restart of PostgreSQL, seen from a process that has a pool of connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection
from django.db.backends.postgresql.base import DatabaseWrapper

from apps.core.stores import database
from dstack_web import settings

pytestmark = pytest.mark.django_db(transaction=True)

POOL = {"min_size": 0, "max_size": 8, "timeout": 10}
NAME = "test-of-a-restart"


@pytest.fixture
def pooled() -> Iterator[list[DatabaseWrapper]]:
    """Four users of one pool, whose connections are idle in it; other tests use none."""
    options = {**connection.settings_dict["OPTIONS"], "pool": POOL, "application_name": NAME}
    changed = {**connection.settings_dict, "OPTIONS": options}
    users = [DatabaseWrapper(changed, alias="pooled") for _ in range(4)]
    for user in users:
        user.ensure_connection()
    for user in users:
        user.close()
    yield users
    users[0].close_pool()


def restart() -> None:
    """End every connection of the pool, as a restart does.

    No others: a thread that an earlier test left keeps its own, and the test that uses
    it next would fail.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [NAME],
        )


def fails(user: DatabaseWrapper) -> bool:
    try:
        with user.cursor() as cursor:
            cursor.execute("SELECT 1")
    except OperationalError:
        return True
    finally:
        user.close()
    return False


def test_without_it_each_dead_connection_costs_an_answer(pooled: list[DatabaseWrapper]) -> None:
    restart()

    assert [fails(user) for user in pooled] == [True] * 4


def test_one_failure_is_enough_to_be_rid_of_all(pooled: list[DatabaseWrapper]) -> None:
    restart()
    assert fails(pooled[0])

    database.drop_dead_connections(of=pooled[0])

    assert not any(fails(user) for user in pooled)


def test_what_the_url_says_goes_before_our_patience() -> None:
    plain = settings.database("postgresql://u@db:5432/name")["OPTIONS"]
    own = settings.database("postgresql://u@db/name?tcp_user_timeout=1000")["OPTIONS"]

    assert (plain["tcp_user_timeout"], plain["keepalives_idle"]) == ("25000", "10")
    assert (own["tcp_user_timeout"], own["keepalives_idle"]) == ("1000", "10")
