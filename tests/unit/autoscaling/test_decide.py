from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.autoscaling.decide import (
    BLIND,
    DOWN,
    IDLE,
    LIMIT,
    PANIC,
    RANGE,
    STALE_SECONDS,
    UP,
    WAKE,
    Facts,
    Memory,
    Policy,
    Verdict,
    decide,
    wake,
)
from apps.telemetry.traffic.points import Point

NOW = 1_000_000.0
RPS = Policy(metric="rps", target=10, least=1, most=8)
SLEEPER = replace(RPS, least=0)
BUSY = Policy(metric="concurrency", target=10, least=1, most=8)

Load = Callable[[float], tuple[int, int, int]]


def points(load: Load, *, seconds: int = 120, at: float = NOW) -> list[Point]:
    """Looks of the last seconds; `load(age)` gives answered, in flight and held."""
    return [Point(at - age, 1.0, *load(age)) for age in range(seconds - 1, -1, -1)]


def steady(answered: int = 0, in_flight: int = 0, held: int = 0) -> Load:
    return lambda age: (answered, in_flight, held)


def lately(load: Load, *, seconds: float) -> Load:
    return lambda age: load(age) if age < seconds else (0, 0, 0)


def until_half_a_minute(second: float) -> tuple[int, int, int]:
    return 5 if second < 30 else 0, 0, 0


def once(
    policy: Policy,
    load: Load,
    *,
    desired: int,
    ready: int | None = None,
    memory: Memory | None = None,
) -> Verdict:
    facts = Facts(desired, desired if ready is None else ready, points(load))
    return decide(policy, facts, memory or Memory(), at=NOW)


def follow(
    policy: Policy, load: Load, *, desired: int, seconds: int, step: int = 2
) -> list[tuple[int, int]]:
    """(second, desired) at each change, replicas being ready at once; `load` gets the time."""
    memory, changes = Memory(), []
    for second in range(0, seconds, step):
        at = NOW + second
        seen = [Point(NOW + s, 1.0, *load(s)) for s in range(second - 119, second + 1)]
        verdict = decide(policy, Facts(desired, desired, seen), memory, at=at)
        memory = verdict.memory
        if verdict.desired != desired:
            changes.append((second, verdict.desired))
            desired = verdict.desired
    return changes


@pytest.mark.parametrize(
    ("policy", "load", "desired", "to", "kind"),
    [
        (RPS, steady(10), 1, 1, "steady"),
        (RPS, steady(11), 1, 2, PANIC),
        (RPS, steady(21), 2, 3, UP),
        (RPS, lately(steady(38), seconds=6), 1, 4, PANIC),
        # A step to three times the target, a second and two seconds old.
        (RPS, lately(steady(30), seconds=1), 1, 2, PANIC),
        (replace(RPS, target=2), lately(steady(6), seconds=2), 1, 2, PANIC),
        # What chance does now and then is no step.
        (RPS, lately(steady(15), seconds=1), 1, 1, "steady"),
        (replace(RPS, target=2), lately(steady(4), seconds=1), 1, 1, "steady"),
        (BUSY, lately(steady(in_flight=30), seconds=1), 1, 2, PANIC),
        # 15 rps for 6 s are 1.5 rps over 60 s, and 2 needed are not twice 2.
        (RPS, lately(steady(15), seconds=6), 2, 2, "steady"),
        (RPS, steady(200), 8, 8, LIMIT),
        (RPS, steady(200), 2, 8, PANIC),
        (RPS, steady(0), 3, 3, "steady"),
        (BUSY, steady(answered=100, in_flight=10), 1, 1, "steady"),
        (BUSY, steady(in_flight=15, held=10), 1, 3, PANIC),
        (SLEEPER, steady(), 0, 0, IDLE),
        (SLEEPER, steady(held=3), 0, 1, WAKE),
        (replace(BUSY, least=0), steady(held=35), 0, 4, WAKE),
        (replace(SLEEPER, least=2), steady(held=1), 0, 2, RANGE),
        (RPS, steady(5), 12, 8, RANGE),
    ],
)
def test_decides(policy: Policy, load: Load, desired: int, to: int, kind: str) -> None:
    verdict = once(policy, load, desired=desired)

    assert (verdict.desired, verdict.kind) == (to, kind)


def test_says_why_in_words_and_numbers() -> None:
    verdict = once(RPS, lately(steady(38), seconds=6), desired=2)

    assert verdict.reason == "2 -> 4: 38 rps over 6 s, target 10"


def test_says_what_of_a_step_is_sure() -> None:
    verdict = once(RPS, lately(steady(30), seconds=1), desired=1)

    assert verdict.reason == "1 -> 2: 30 rps over 1 s (19 for sure), target 10"


def test_counts_what_arrives_and_not_only_what_is_answered() -> None:
    """A service that answers nothing yet is no idle one."""

    def growing(age: float) -> tuple[int, int, int]:
        return 0, max(0, 120 - int(age) * 20), 0

    assert once(RPS, growing, desired=1).desired == 2


def test_a_look_after_a_pause_is_no_flood() -> None:
    seen = [*points(steady(5), at=NOW - 60), Point(NOW, 60.0, 300)]

    assert decide(RPS, Facts(1, 1, seen), Memory(), at=NOW).desired == 1


def test_what_was_in_flight_before_figures_came_back_is_no_flood() -> None:
    assert decide(RPS, Facts(1, 1, [Point(NOW, 1.0, 5, 200)]), Memory(), at=NOW).desired == 1


def test_replicas_that_start_are_counted() -> None:
    flood = lately(steady(38), seconds=6)
    first = once(RPS, flood, desired=1)

    again = once(RPS, flood, desired=first.desired, ready=1, memory=first.memory)

    assert again.desired == first.desired == 4


def test_holds_without_figures() -> None:
    for seen in ([], points(steady(100), at=NOW - STALE_SECONDS - 1)):
        verdict = decide(RPS, Facts(3, 3, seen), Memory(watched_since=1), at=NOW)

        assert (verdict.desired, verdict.kind) == (3, BLIND)
        assert verdict.memory.watched_since is None


def test_never_goes_down_in_panic() -> None:
    memory = Memory(watched_since=NOW - 9999, active_at=NOW - 9999, panic_until=NOW + 30)

    assert once(SLEEPER, steady(), desired=4, memory=memory).desired == 4


def test_goes_down_after_the_delay_to_the_most_that_was_needed() -> None:
    def load(second: float) -> tuple[int, int, int]:
        return (40 if second < 60 else 18 if second < 400 else 5, 0, 0)

    changes = follow(RPS, load, desired=4, seconds=1000)

    # The stable window falls within 60 s of the change, by way of 3, then 300 s of patience begin,
    # counted in slots of 30 s.
    assert [to for _, to in changes] == [3, 2, 1]
    assert 60 + 300 <= changes[0][0] <= changes[1][0] <= 60 + 60 + 330
    assert 400 + 300 <= changes[2][0] <= 400 + 60 + 330


def test_sleeps_when_nothing_was_asked_for_the_delay() -> None:
    assert follow(SLEEPER, until_half_a_minute, desired=1, seconds=600) == [(330, 0)]


def test_the_delay_before_sleeping_is_settable() -> None:
    eager = replace(SLEEPER, zero_delay_seconds=10)

    assert follow(eager, until_half_a_minute, desired=1, seconds=600) == [(40, 0)]


@pytest.mark.parametrize("load", [steady(in_flight=1), steady(held=1)])
def test_one_request_keeps_a_service_awake(load: Load) -> None:
    assert follow(SLEEPER, lambda second: load(0), desired=1, seconds=1200) == []


def test_what_a_person_asked_for_stands_for_the_delay() -> None:
    memory = Memory(watched_since=NOW - 9999, active_at=NOW - 9999, peaks=((NOW - 10, 1),))
    facts = Facts(4, 4, points(steady()), set_by_person_at=NOW - 100)

    assert decide(SLEEPER, facts, memory, at=NOW).desired == 4
    assert decide(SLEEPER, replace(facts, set_by_person_at=0), memory, at=NOW).desired == 0


def test_waits_with_going_up_where_it_is_told_to() -> None:
    patient = replace(RPS, up_delay_seconds=30, window_seconds=10)

    # 15 rps need 3 replicas of target 7, which is no panic where there are 2.
    changes = follow(replace(patient, target=7), lambda second: (15, 0, 0), desired=2, seconds=90)

    assert changes == [(30, 3)]


@pytest.mark.parametrize(("desired", "most", "to"), [(0, 4, 1), (1, 4, None), (0, 0, None)])
def test_wakes_at_once(desired: int, most: int, to: int | None) -> None:
    verdict = wake(replace(SLEEPER, most=most), desired)

    assert (verdict.desired if verdict else None) == to


loads = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 200), st.integers(0, 200)),
    min_size=1,
    max_size=90,
)
policies = st.builds(
    Policy,
    metric=st.sampled_from(["rps", "concurrency"]),
    target=st.floats(0.1, 100),
    least=st.integers(0, 3),
    most=st.integers(3, 20),
    window_seconds=st.integers(5, 120),
    up_delay_seconds=st.sampled_from([0, 5, 60]),
    down_delay_seconds=st.sampled_from([0, 5, 60]),
    zero_delay_seconds=st.sampled_from([0, 5, 60]),
)


def replay(policy: Policy, load: Sequence[tuple[int, int, int]]) -> list[tuple[int, Verdict]]:
    memory, desired, seen, told = Memory(), policy.least, [], []
    for second, numbers in enumerate(load):
        seen.append(Point(NOW + second, 1.0, *numbers))
        verdict = decide(policy, Facts(desired, desired, seen[-120:]), memory, at=NOW + second)
        told.append((desired, verdict))
        memory, desired = verdict.memory, verdict.desired
    return told


@given(policies, loads)
def test_stays_in_its_range_and_awake_while_asked(
    policy: Policy, load: list[tuple[int, int, int]]
) -> None:
    for (before, verdict), (_, in_flight, held) in zip(replay(policy, load), load, strict=True):
        assert policy.least <= verdict.desired <= policy.most
        if in_flight or held:
            assert verdict.desired >= 1
        if verdict.kind in (UP, PANIC, WAKE):
            assert verdict.desired > before
        if verdict.kind == DOWN:
            assert verdict.desired < before


@given(policies, loads, st.integers(1, 4))
def test_more_load_never_means_fewer(
    policy: Policy, load: list[tuple[int, int, int]], times: int
) -> None:
    policy = replace(policy, metric="concurrency")
    more = [(a * times, b * times, c * times) for a, b, c in load]

    pairs = zip(replay(policy, load), replay(policy, more), strict=True)
    assert all(high[1].desired >= low[1].desired for low, high in pairs)
