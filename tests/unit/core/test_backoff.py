"""Pauses of the server, the gateway and the agent: each runtime has one `Backoff`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.agent.server import backoff as agent
from apps.core.backoff import Backoff
from gateway import backoff as gateway


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(-1, 0), (0, 0), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (10**9, 60)],
)
def test_the_server_waits_twice_as_long_each_time(failures: int, seconds: float) -> None:
    backoff = Backoff(timedelta(seconds=5), timedelta(seconds=60))

    assert backoff.after(failures) == timedelta(seconds=seconds)


def test_the_server_s_first_pause_is_bounded_too() -> None:
    assert Backoff(timedelta(hours=1), timedelta(minutes=1)).after(1) == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("failures", "factor", "chance", "seconds"),
    [
        (0, 2, 0.5, 1),
        (1, 2, 0.5, 1),
        (2, 2, 0.5, 2),
        (4, 2, 0.5, 8),
        (5, 2, 0.5, 10),
        (10**9, 2, 0.5, 10),
        (2, 5, 0.5, 5),
        (1, 2, 0.0, 0.8),
        (1, 2, 1.0, 1.2),
        (5, 2, 1.0, 12),
    ],
)
def test_a_gateway_waits_longer_each_time_give_or_take(
    failures: int, factor: float, chance: float, seconds: float
) -> None:
    backoff = gateway.Backoff(first_seconds=1, longest_seconds=10, factor=factor, jitter=0.2)

    assert backoff.after(failures, chance=chance) == pytest.approx(seconds)


def test_a_gateway_counts_its_failures_until_it_works() -> None:
    backoff = gateway.Backoff(first_seconds=1, longest_seconds=4)

    assert [backoff.next() for _ in range(4)] == [1, 2, 4, 4]

    backoff.reset()
    assert backoff.next() == 1


def test_chance_stays_within_its_bounds() -> None:
    waits = {
        gateway.Backoff(first_seconds=1, longest_seconds=1, jitter=0.2).next() for _ in range(500)
    }

    assert 0.8 <= min(waits) < 0.9 and 1.1 < max(waits) <= 1.2


def test_an_agent_waits_longer_each_time_until_it_works() -> None:
    backoff = agent.Backoff()

    waits = [backoff.next() for _ in range(10)]

    grown = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0]
    for seconds, bound in zip(waits, grown, strict=True):
        assert 0.75 * bound <= seconds <= bound

    backoff.reset()
    assert backoff.next() <= 0.2
