"""A restart of PostgreSQL, seen from a process that has a pool of connections."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import OperationalError, connection

from apps.core import database

pytestmark = pytest.mark.django_db(transaction=True)


def fill_pool(count: int) -> None:
    """Leave `count` idle connections in the pool."""
    together = Barrier(count)

    def use() -> None:
        connection.ensure_connection()
        together.wait(timeout=10)
        connection.close()

    with ThreadPoolExecutor(count) as threads:
        for done in [threads.submit(use) for _ in range(count)]:
            done.result()


def cut_all_connections() -> None:
    """What a restart does: the server ends every connection but the one that asks."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def query() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def test_one_failure_is_enough_to_be_rid_of_all_dead_connections() -> None:
    fill_pool(4)
    cut_all_connections()
    connection.close()

    failures = 0
    for _ in range(8):
        try:
            query()
        except OperationalError:
            failures += 1
            database.drop_dead_connections()

    assert failures <= 1
