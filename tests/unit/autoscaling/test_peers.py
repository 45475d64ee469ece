"""The rules of others, as they publish them."""

from __future__ import annotations

import pytest

from apps.autoscaling.decide import Policy
from apps.autoscaling.simulation import drawing, peers, traces
from apps.autoscaling.simulation.rules import Rule
from apps.autoscaling.simulation.simulate import Moment, Service, simulate

POLICY = Policy(metric="rps", target=10, least=0, most=30)
SERVICE = Service(capacity=20, start_seconds=5)


def changes(moments: list[Moment]) -> list[tuple[int, int]]:
    """Each second in which another number was desired, and the number."""
    pairs = zip(moments, moments[1:], strict=False)
    return [(m.second, m.desired) for before, m in pairs if m.desired != before.desired]


def run(rule: Rule, *parts: tuple[int, float], least: int = 0) -> list[Moment]:
    trace = [rate for seconds, rate in parts for _ in range(seconds)]
    return simulate(rule, SERVICE, trace, least=least)


def test_knative_aims_at_seven_tenths_of_the_target() -> None:
    assert run(peers.Knative(POLICY), (200, 100.0), least=1)[-1].desired == 15


def test_knative_panics_at_twice_the_ready_and_does_not_fall_for_a_minute() -> None:
    moments = run(peers.Knative(POLICY), (120, 10.0), (10, 100.0), (120, 10.0), least=2)

    found = changes(moments)
    top = max(desired for _, desired in found)
    reached = next(second for second, desired in found if desired == top)
    fell = next(second for second, desired in found if second > reached and desired < top)
    assert reached <= 132
    assert fell - reached >= 60


def test_knative_halves_at_most() -> None:
    moments = run(peers.Knative(POLICY), (200, 100.0), (200, 0.1), least=1)
    falling = [m for m in moments if m.second > 200]

    pairs = zip(falling, falling[1:], strict=False)
    assert all(m.desired >= before.ready // 2 for before, m in pairs if m.desired)


def test_knative_keeps_the_last_replica_for_a_grace_period() -> None:
    moments = run(peers.Knative(POLICY), (10, 5.0), (200, 0.0))

    # 60 s until the window is empty, 30 s of grace.
    assert changes(moments)[-1][1] == 0
    assert 98 <= changes(moments)[-1][0] <= 102
    assert sum(m.failed for m in moments) == 0


def test_skyserve_grows_after_fifteen_looks_and_shrinks_after_sixty() -> None:
    moments = run(peers.SkyServe(POLICY), (60, 10.0), (600, 50.0), (1800, 10.0), least=1)

    up, *_, (down, last) = changes(moments)
    assert 60 + 280 <= up[0] <= 60 + 340
    assert last == 1
    assert 660 + 1200 <= down <= 660 + 1300


def test_skyserve_refuses_what_finds_no_replica() -> None:
    moments = run(peers.SkyServe(POLICY), (10, 0.0), (60, 5.0))

    assert changes(moments)[0] == (10, 1)
    assert sum(m.failed for m in moments if m.ready == 0) > 0


def test_dstack_waits_five_minutes_to_grow_and_ten_to_shrink() -> None:
    moments = run(peers.Dstack(POLICY), (400, 10.0), (400, 50.0), (1200, 10.0), least=1)

    assert changes(moments)[0][0] <= 402 + 12
    growing = [second for second, _ in changes(moments) if 400 <= second < 800]
    assert all(later - earlier >= 300 for earlier, later in zip(growing, growing[1:], strict=False))
    shrinking = next(second for second, desired in changes(moments) if second > 800 and desired < 5)
    assert shrinking >= growing[-1] + 600


@pytest.mark.parametrize(("metric", "count"), [("rps", 4), ("concurrency", 2)])
def test_compares_those_that_know_the_metric(metric: str, count: int) -> None:
    policy = Policy(metric=metric, target=10, least=0, most=10)
    runs = {
        name: simulate(rule, SERVICE, traces.steps(), least=0)
        for name, rule in peers.rules(policy).items()
    }

    page, table = drawing.page("steps", runs), drawing.comparison(runs)

    assert len(table) == 1 + count
    assert page.count("<svg") == 4 + 3
    assert all(page.count(f">{name}</tspan>") == 3 for name in runs)
