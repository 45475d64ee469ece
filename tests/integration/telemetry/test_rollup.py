from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from apps.telemetry.metrics import rollup
from apps.telemetry.models import KeyUse, Traffic
from tests import factories
from tests.people import People

pytestmark = pytest.mark.django_db

AT = datetime(2030, 1, 10, 12, tzinfo=UTC)


def bucket(run: UUID, *, age: timedelta, seconds: int = 10, requests: int = 1) -> Traffic:
    return Traffic.objects.create(
        run_id=run,
        seconds=seconds,
        at=AT - age,
        by_class=[0, requests, 0, 0, 0],
        latency=[requests],
        bytes_out=10,
        usages=requests,
        held_max=requests,
    )


def rows(run: UUID) -> list[tuple[int, int, int]]:
    found = Traffic.objects.filter(run_id=run).order_by("seconds", "at")
    return [(row.seconds, sum(row.by_class), row.held_max) for row in found]


def test_old_buckets_become_coarser_and_lose_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollup, "BATCH", 5)
    run, other = uuid4(), uuid4()
    for second in range(0, 120, 10):
        bucket(run, age=timedelta(hours=7, seconds=-second), requests=1 + second // 60)
        bucket(run, age=timedelta(hours=1, seconds=-second))
    bucket(other, age=timedelta(hours=7))

    assert rollup.roll_up(at=AT) == 13
    assert rollup.roll_up(at=AT) == 0

    assert rows(run) == [(10, 1, 1)] * 12 + [(60, 6, 1), (60, 12, 2)]
    assert rows(other) == [(60, 1, 1)]
    coarse = Traffic.objects.filter(run_id=run, seconds=60).order_by("at")
    assert [row.usages for row in coarse] == [6, 12]


def test_times_add_up_those_of_earlier_versions_too() -> None:
    run, age = uuid4(), timedelta(hours=7)
    for second, kept in ((0, [40, 2]), (10, None), (20, [40, 1, 166, 8])):
        row = bucket(run, age=age - timedelta(seconds=second))
        Traffic.objects.filter(pk=row.pk).update(total_us=kept, first_us=kept)

    rollup.roll_up(at=AT)

    (row,) = Traffic.objects.filter(run_id=run)
    assert (row.seconds, row.latency) == (60, [3])
    assert row.total_us == row.first_us == [40, 3, 166, 8]


def test_minutes_become_ten_minutes() -> None:
    run = uuid4()
    for minute in range(20):
        bucket(run, age=timedelta(days=3, minutes=-minute), seconds=60)
    rollup.roll_up(at=AT)

    assert rows(run) == [(600, 10, 1), (600, 10, 1)]


def test_forgets_what_is_too_old(people: People) -> None:
    run = factories.run(people.project)
    kept, gone = timedelta(days=6), timedelta(days=8)
    for age in (kept, gone):
        bucket(run.pk, age=age, seconds=600)
    KeyUse.objects.create(run_id=run.pk, token_id=0, hour=AT - timedelta(days=91))

    assert rollup.prune(at=AT) == 2
    assert (Traffic.objects.count(), KeyUse.objects.count()) == (1, 0)
