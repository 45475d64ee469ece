"""Replicas on spot machines that their clouds take back: when each leaves, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.runs import states
from apps.runs.control import decide
from apps.runs.control.decide import Start
from tests.unit.runs.test_decide import AT, RUN, SECOND, failed, replica

SOON = AT + 120 * SECOND
NEAR = AT + 30 * SECOND


def test_its_replacement_is_started_at_once_and_the_last_one_goes_on_serving() -> None:
    verdict = decide.reconcile(RUN, [replica(0, ends_at=SOON)], at=AT)

    assert verdict.start == [Start(1)]
    assert verdict.retire == []
    assert verdict.state == states.RUNNING
    assert verdict.next_check_at == SOON - decide.LEAVES_BEFORE


@pytest.mark.parametrize(
    ("state", "ends_at", "others", "leaves"),
    [
        (states.RUNNING, SOON, [], False),
        (states.RUNNING, SOON, [states.STARTING], False),
        (states.RUNNING, SOON, [states.UNHEALTHY], False),
        (states.RUNNING, SOON, [states.RUNNING], True),
        (states.RUNNING, NEAR, [states.STARTING], True),
        (states.RUNNING, AT - SECOND, [], True),
        (states.UNHEALTHY, SOON, [], True),
        (states.STARTING, SOON, [], True),
        (states.PROVISIONING, SOON, [], True),
    ],
)
def test_leaves_when_another_serves_or_the_end_is_near(
    state: str, ends_at: object, others: list[str], leaves: bool
) -> None:
    taken = replica(0, state, ends_at=ends_at)
    staying = [replica(num, other) for num, other in enumerate(others, start=1)]

    verdict = decide.reconcile(replace(RUN, desired=2), [taken, *staying], at=AT)

    assert (taken.id in verdict.retire) is leaves
    assert not {each.id for each in staying} & {*verdict.retire}


def test_no_more_replacements_than_machines_that_are_taken_back() -> None:
    taken = [replica(num, ends_at=SOON) for num in range(2)]
    run = replace(RUN, desired=3)

    verdict = decide.reconcile(run, [*taken, replica(2), replica(3, states.STARTING)], at=AT)

    assert verdict.start == [Start(4)]
    assert [*verdict.retire] == [each.id for each in taken]


@pytest.mark.parametrize("change", [{"stopping": True}, {"desired": 0}, {"max_duration": SECOND}])
def test_it_is_retired_where_nothing_is_wanted(change: dict[str, Any]) -> None:
    taken = replica(0, ends_at=SOON)

    verdict = decide.reconcile(replace(RUN, **change), [taken], at=AT)

    assert ([*verdict.retire], [*verdict.start]) == ([taken.id], [])


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("events", [set(), {"no-capacity"}, {"error"}, {"interruption"}])
def test_what_was_interrupted_is_replaced_at_once_whatever_retry_says(
    events: set[str], ready: bool
) -> None:
    run = replace(RUN, retry_on=frozenset(events))

    verdict = decide.reconcile(run, [failed(exit_reason="interrupted", ready=ready)], at=AT)

    assert (verdict.state, [*verdict.start]) == (states.PROVISIONING, [Start(0)])


def test_an_interruption_does_not_show_that_a_new_version_is_unfit() -> None:
    rollout = replace(RUN, version=2, fallback=1, start_within=SECOND)
    old, new = replica(0, version=1), failed(1, exit_reason="interrupted", version=2)

    assert not decide.reconcile(rollout, [old, new], at=AT).give_up
