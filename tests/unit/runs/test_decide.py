from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import ids
from apps.runs import states
from apps.runs.control import decide
from apps.runs.control.decide import ReplicaFacts, RunFacts, Start

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RUN = RunFacts(
    state=states.RUNNING,
    desired=1,
    stopping=False,
    failures_counted_since=AT - 60 * SECOND,
    created_at=AT - 60 * SECOND,
)


def replica(num: int = 0, state: str = states.RUNNING, **fields: Any) -> ReplicaFacts:
    return ReplicaFacts(id=ids.new_id(), num=num, state=state, **fields)


def failed(num: int = 0, *, ready: bool = False, **fields: Any) -> ReplicaFacts:
    values = {"finished_at": AT - SECOND, "message": "exited with code 1", **fields}
    ready_at = AT - 30 * SECOND if ready else None
    return replica(num, states.FAILED, ready_at=ready_at, **values)


def test_starts_the_lowest_free_numbers() -> None:
    verdict = decide.reconcile(replace(RUN, desired=3), [replica(1)], at=AT)

    assert verdict.start == [Start(0), Start(2)]


def test_does_not_give_the_number_of_a_draining_replica_again() -> None:
    verdict = decide.reconcile(RUN, [replica(0, states.DRAINING)], at=AT)

    assert verdict.start == [Start(1)]


def test_a_run_with_one_serving_replica_is_running() -> None:
    verdict = decide.reconcile(
        replace(RUN, desired=2), [replica(0), replica(1, states.STARTING)], at=AT
    )

    assert verdict.state == states.RUNNING


def test_a_failed_replica_never_ends_a_run_that_has_a_healthy_one() -> None:
    verdict = decide.reconcile(replace(RUN, desired=2), [replica(0), failed(1)], at=AT)

    assert (verdict.state, verdict.start) == (states.RUNNING, [])


def test_fails_with_the_last_message_when_no_replica_is_left_and_none_may_start() -> None:
    verdict = decide.reconcile(RUN, [failed()], at=AT)

    assert (verdict.state, verdict.reason) == (states.FAILED, "exited with code 1")


def test_replaces_at_once_a_replica_that_was_ready_once() -> None:
    verdict = decide.reconcile(RUN, [failed(ready=True)], at=AT)

    assert verdict.start == [Start(0, attempt=1, not_before=AT - SECOND)]
    assert verdict.state == states.PROVISIONING


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 0), (1, 15), (2, 30), (3, 60), (6, 480), (7, 600), (50, 600)]
)
def test_backs_off_from_15_seconds_to_10_minutes(attempt: int, seconds: int) -> None:
    assert decide.BACKOFF.after(attempt) == timedelta(seconds=seconds)


def test_forgets_earlier_failures_of_a_replica_that_served_long() -> None:
    last = failed(attempt=5, finished_at=AT)
    proven = replace(last, ready_at=AT - decide.PROVEN)

    verdict = decide.reconcile(RUN, [proven], at=AT)

    assert verdict.start == [Start(0, attempt=1, not_before=AT)]


def test_what_went_down_with_its_server_starts_again_as_the_same_try() -> None:
    ended = replace(failed(attempt=3), state=states.STOPPED, exit_reason=decide.HOST_STOPPED)

    assert decide.reconcile(RUN, [ended], at=AT).start == [Start(0, attempt=3)]


@pytest.mark.parametrize(
    ("events", "reason", "follows"),
    [
        (set(), "exited", False),
        ({"error"}, "exited", True),
        ({"no-capacity"}, "exited", False),
        ({"no-capacity"}, "no-capacity", True),
        ({"error"}, "no-capacity", False),
        (set(), "host_stopped", True),
    ],
)
def test_follows_retry_for_what_never_got_ready(
    events: set[str], reason: str, follows: bool
) -> None:
    run = replace(RUN, retry_on=frozenset(events))

    assert decide.may_follow(run, failed(exit_reason=reason)) is follows


def test_gives_up_when_the_time_for_retries_is_over() -> None:
    run = replace(RUN, retry_on=frozenset({"error"}), retry_for=10 * SECOND)

    assert not decide.may_follow(run, failed())


def test_the_time_for_retries_begins_when_the_number_served_last() -> None:
    run = replace(RUN, retry_on=frozenset({"error"}), retry_for=30 * SECOND)
    served = failed(ready=True, finished_at=AT - 20 * SECOND)

    verdict = decide.reconcile(run, [served, failed(attempt=1)], at=AT)
    late = decide.reconcile(
        run, [replace(served, finished_at=AT - 40 * SECOND), failed(attempt=1)], at=AT
    )

    assert verdict.start == [Start(0, attempt=2, not_before=AT + 14 * SECOND)]
    assert (late.start, late.state) == ([], states.FAILED)


def test_each_replica_has_a_backoff_of_its_own() -> None:
    run = replace(RUN, desired=2, retry_on=frozenset({"error"}))

    verdict = decide.reconcile(run, [failed(0, attempt=3), failed(1)], at=AT)

    ended = AT - SECOND
    assert verdict.start == [
        Start(0, attempt=4, not_before=ended + 60 * SECOND),
        Start(1, attempt=1, not_before=ended),
    ]


def test_what_scales_is_tried_again_after_a_growing_pause_and_does_not_end_the_run() -> None:
    """A replica that scaling wants may not start today: no capacity, a host that is away."""
    run = replace(RUN, autoscaled=True)
    pauses = []
    for attempt in range(4):
        verdict = decide.reconcile(run, [replace(failed(), attempt=attempt)], at=AT)
        (start,) = verdict.start
        assert (verdict.state, start.attempt) == (states.PROVISIONING, attempt + 1)
        pauses.append((start.not_before or AT) - (failed().finished_at or AT))

    assert pauses == [0 * SECOND, 15 * SECOND, 30 * SECOND, 60 * SECOND]


def test_what_scales_goes_to_sleep_when_it_is_not_wanted_any_more() -> None:
    verdict = decide.reconcile(replace(RUN, autoscaled=True, desired=0), [failed()], at=AT)

    assert (verdict.state, verdict.start) == (states.IDLE, [])


def test_tries_again_what_failed_before_somebody_asked_anew() -> None:
    run = replace(RUN, failures_counted_since=AT)

    assert decide.reconcile(run, [failed()], at=AT).start == [Start(0)]


def test_is_idle_with_no_replica_by_intent() -> None:
    assert decide.reconcile(replace(RUN, desired=0), [], at=AT).state == states.IDLE


STARTING = states.STARTING


@pytest.mark.parametrize(
    ("oldest_first", "first", "second"),
    [
        pytest.param([("running", 0), (STARTING, 0), ("running", 0)], 1, 2, id="not ready"),
        pytest.param([(STARTING, 0), (STARTING, 0), ("running", 0)], 1, 0, id="the newest of them"),
        pytest.param([("unhealthy", 9), ("running", 0), ("running", 1)], 0, 1, id="even if busy"),
        pytest.param([("running", 2), ("running", 0), ("running", 1)], 1, 2, id="the least loaded"),
        pytest.param([("running", 1), ("running", 1), ("running", 1)], 2, 1, id="then the newest"),
    ],
)
def test_retires_what_does_not_serve_then_the_least_loaded(
    oldest_first: list[tuple[str, int]], first: int, second: int
) -> None:
    # Numbers are given again: they tell nothing about age.
    replicas = [
        replica(5 - at, state, in_flight=load) for at, (state, load) in enumerate(oldest_first)
    ]

    verdict = decide.reconcile(RUN, replicas, at=AT)

    assert list(verdict.retire) == [replicas[first].id, replicas[second].id]


def test_stops_in_two_steps() -> None:
    stopping = replace(RUN, stopping=True)
    running, draining = replica(0), replica(0, states.DRAINING)

    assert decide.reconcile(stopping, [running], at=AT).retire == [running.id]
    assert decide.reconcile(stopping, [draining], at=AT).state == states.STOPPING
    assert decide.reconcile(stopping, [], at=AT).state == states.STOPPED


def test_stops_when_max_duration_is_over() -> None:
    verdict = decide.reconcile(replace(RUN, max_duration=60 * SECOND), [replica()], at=AT)

    assert verdict.expired
    assert verdict.state == states.STOPPING


STATES = st.sampled_from(states.REPLICA.states)


@given(desired=st.integers(0, 6), drawn=st.lists(st.tuples(st.integers(0, 5), STATES), max_size=12))
def test_never_has_more_live_replicas_than_wanted(desired: int, drawn: list[Any]) -> None:
    unfinished = {n: s for n, s in drawn if s not in states.REPLICA.final}
    over = [failed(n) for n, s in drawn if s == states.FAILED]
    replicas = over + [replica(n, s) for n, s in unfinished.items()]

    verdict = decide.reconcile(replace(RUN, desired=desired), replicas, at=AT)

    live = {r.id for r in replicas if r.is_live}
    kept = live - set(verdict.retire)
    nums = [start.num for start in verdict.start]
    assert len(kept) + len(nums) <= desired
    assert set(verdict.retire) <= live
    assert len(set(nums)) == len(nums)
    assert not set(nums) & set(unfinished)
    assert verdict.state in states.RUN.edges[RUN.state] | {RUN.state}


NOWHERE: dict[str, Any] = {"exit_reason": "no-capacity", "message": "No offer fits."}
SERVED = replace(RUN, was_ready=True)


@pytest.mark.parametrize("attempt", [0, 1, 2, 7, 50])
def test_a_run_that_served_looks_for_a_place_again(attempt: int) -> None:
    nowhere = failed(attempt=attempt, **NOWHERE)

    verdict = decide.reconcile(SERVED, [nowhere], at=AT)

    (start,) = verdict.start
    assert verdict.state == states.PROVISIONING
    assert (start.num, start.attempt) == (0, attempt + 1)
    assert start.not_before is not None and start.not_before <= AT + decide.PLACE_MOST


@pytest.mark.parametrize("desired", [1, 2, 3])
def test_no_place_for_any_replica_does_not_end_a_run_that_served(desired: int) -> None:
    gone = [failed(num, **NOWHERE) for num in range(desired)]

    verdict = decide.reconcile(replace(SERVED, desired=desired), gone, at=AT)

    assert [start.num for start in verdict.start] == list(range(desired))


def test_a_number_that_served_looks_for_a_place_beside_others() -> None:
    before = failed(1, ready=True, finished_at=AT - 5 * SECOND)
    nowhere = failed(1, **NOWHERE)

    verdict = decide.reconcile(replace(SERVED, desired=2), [replica(0), before, nowhere], at=AT)

    assert [start.num for start in verdict.start] == [1]


def test_a_number_that_never_served_is_left_beside_one_that_serves() -> None:
    verdict = decide.reconcile(
        replace(SERVED, desired=2), [replica(0), failed(1, **NOWHERE)], at=AT
    )

    assert verdict.start == []


def test_a_run_that_never_served_ends_where_there_is_no_place() -> None:
    verdict = decide.reconcile(RUN, [failed(**NOWHERE)], at=AT)

    assert (verdict.state, verdict.start) == (states.FAILED, [])


def test_a_new_version_without_a_place_gives_way_to_the_one_that_served() -> None:
    run = replace(SERVED, version=2, fallback=1)
    nowhere = failed(1, version=2, **NOWHERE)

    assert decide.reconcile(run, [replica(0), nowhere], at=AT).give_up
