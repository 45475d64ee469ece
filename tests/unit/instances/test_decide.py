from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.backends.base import InstanceState
from apps.instances import decide, states
from apps.instances.decide import Facts, Step, next_step

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
READY = Facts(
    state=states.READY,
    shared=False,
    state_at=AT - 90 * SECOND,
    heard_at=AT,
    idle_since=None,
    idle_after=300 * SECOND,
    live=1,
    wanted=1,
)
BOOTING = replace(READY, state=states.BOOTING, state_at=AT, heard_at=None)
LOST = replace(READY, state=states.LOST, state_at=AT)
STANDING: dict[str, Any] = {"shared": True, "standing": True}
UNWANTED: dict[str, Any] = {"wanted": 0}


@pytest.mark.parametrize("state", [states.REQUESTED, states.CREATING])
def test_asks_the_provider_again_after_a_worker_died(state: str) -> None:
    assert next_step(replace(READY, state=state), at=AT).do == decide.CREATE


def test_is_lost_when_its_agent_is_silent() -> None:
    assert next_step(replace(READY, heard_at=AT - 59 * SECOND), at=AT).do == decide.WAIT
    assert next_step(replace(READY, heard_at=AT - 61 * SECOND), at=AT).do == decide.MARK_LOST


@pytest.mark.parametrize(
    ("state", "changes", "do"),
    [
        (states.REQUESTED, UNWANTED, decide.BEGIN_END),
        (states.CREATING, UNWANTED, decide.BEGIN_END),
        (states.BOOTING, UNWANTED, decide.BEGIN_END),
        (states.LOST, UNWANTED, decide.BEGIN_END),
        (states.CREATING, UNWANTED | {"shared": True}, decide.CREATE),
        (states.BOOTING, UNWANTED | STANDING, decide.WAIT),
        (states.LOST, UNWANTED | STANDING, decide.WAIT),
        (states.TERMINATING, UNWANTED, decide.TERMINATE),
        (states.READY, UNWANTED, decide.WAIT),
    ],
)
def test_makes_no_machine_that_nothing_wants(state: str, changes: dict[str, Any], do: str) -> None:
    facts = replace(READY, state=state, state_at=AT, **changes)

    assert next_step(facts, at=AT).do == do


@pytest.mark.parametrize(
    ("changes", "after", "do"),
    [
        ({}, 599, decide.WAIT),
        ({}, 601, decide.FAIL_BOOT),
        ({"boot_within": 60 * SECOND}, 61, decide.FAIL_BOOT),
        ({"seen": InstanceState.RUNNING}, 599, decide.WAIT),
        ({"seen": InstanceState.RUNNING, "running_at": AT + 500 * SECOND}, 1099, decide.WAIT),
        ({"seen": InstanceState.RUNNING, "running_at": AT + 500 * SECOND}, 1101, decide.FAIL_BOOT),
        ({"seen": InstanceState.CREATING}, 3599, decide.WAIT),
        ({"seen": InstanceState.CREATING}, 3601, decide.FAIL_BOOT),
        ({"seen": InstanceState.FAILED}, 1, decide.FAIL_BOOT),
        ({"seen": InstanceState.GONE}, 59, decide.WAIT),
        ({"seen": InstanceState.GONE}, 61, decide.FAIL_BOOT),
        (STANDING, 601, decide.FAIL_BOOT),
    ],
)
def test_a_boot_has_its_time_and_no_more(changes: dict[str, Any], after: int, do: str) -> None:
    assert next_step(replace(BOOTING, **changes), at=AT + after * SECOND).do == do


@pytest.mark.parametrize("facts", [BOOTING, LOST])
def test_asks_every_thirty_seconds_for_a_machine_that_does_not_speak(facts: Facts) -> None:
    assert decide.asks(facts.state, has_ref=True)
    assert not decide.asks(facts.state, has_ref=False)
    assert next_step(facts, at=AT).next_check_at == AT + 30 * SECOND


@pytest.mark.parametrize("state", sorted({*states.INSTANCE.states} - {"booting", "lost"}))
def test_asks_nobody_about_other_machines(state: str) -> None:
    assert not decide.asks(state, has_ref=True)


@pytest.mark.parametrize(
    ("changes", "after", "do"),
    [
        ({}, 599, decide.WAIT),
        ({}, 601, decide.BEGIN_END),
        ({"seen": InstanceState.RUNNING}, 599, decide.WAIT),
        ({"seen": InstanceState.RUNNING}, 601, decide.BEGIN_END),
        ({"all_silent": True}, 3599, decide.WAIT),
        ({"all_silent": True}, 3601, decide.BEGIN_END),
        ({"all_silent": True, "seen": InstanceState.GONE}, 1, decide.NOTE_GONE),
        ({"all_silent": True, "seen": InstanceState.FAILED}, 1, decide.BEGIN_END),
        (UNWANTED | {"all_silent": True}, 1, decide.BEGIN_END),
        ({"seen": InstanceState.GONE}, 1, decide.NOTE_GONE),
        ({"seen": InstanceState.FAILED}, 1, decide.BEGIN_END),
        (STANDING, 86400 * 365, decide.WAIT),
        (STANDING | {"seen": InstanceState.RUNNING}, 86400 * 365, decide.WAIT),
        (STANDING | {"seen": InstanceState.GONE}, 1, decide.NOTE_GONE),
        (STANDING | UNWANTED, 599, decide.WAIT),
        (STANDING | UNWANTED, 601, decide.DROP_STOPPED),
    ],
)
def test_a_machine_that_is_lost(changes: dict[str, Any], after: int, do: str) -> None:
    assert next_step(replace(LOST, **changes), at=AT + after * SECOND).do == do


@pytest.mark.parametrize(
    ("span", "said"),
    [(600, "10 minutes"), (60, "1 minute"), (90, "90 s"), (5, "5 s"), (0, "0 s")],
)
def test_says_times_in_words(span: int, said: str) -> None:
    assert decide.in_words(span * SECOND) == said


def test_idles_without_work_and_wakes_with_it() -> None:
    assert next_step(replace(READY, live=0), at=AT).do == decide.MARK_IDLE
    assert next_step(replace(READY, state=states.IDLE), at=AT).do == decide.MARK_READY


def test_ends_an_idle_machine_after_its_time() -> None:
    idle = replace(READY, state=states.IDLE, live=0, wanted=0, idle_since=AT - 299 * SECOND)

    assert next_step(idle, at=AT).next_check_at == AT + SECOND
    assert next_step(idle, at=AT + SECOND).do == decide.BEGIN_END


def test_keeps_a_shared_host_however_long_it_has_no_work() -> None:
    assert next_step(replace(READY, shared=True, live=0), at=AT).do == decide.WAIT


def test_ends_a_machine_at_once_that_is_not_kept() -> None:
    over = replace(READY, live=0, wanted=0, idle_after=timedelta(0))

    assert next_step(over, at=AT).do == decide.BEGIN_END


def test_keeps_an_idle_machine_for_ever_where_that_is_asked_for() -> None:
    idle = replace(READY, state=states.IDLE, live=0, idle_after=None, idle_since=AT - 9 * SECOND)

    assert next_step(replace(idle, heard_at=AT + 10**7 * SECOND), at=AT + 10**7 * SECOND) == Step(
        decide.WAIT, next_check_at=AT + 10**7 * SECOND + decide.SILENT + SECOND
    )


@pytest.mark.parametrize("state", [states.READY, states.IDLE])
@pytest.mark.parametrize("heard_seconds_ago", [0, 9, 59, 60])
def test_notices_silence_a_second_after_it_counts(state: str, heard_seconds_ago: int) -> None:
    """A machine that dies right after a report, or long after one, is lost as soon as it can be."""
    work = 0 if state == states.IDLE else 1
    heard = AT - heard_seconds_ago * SECOND
    facts = replace(READY, state=state, live=work, wanted=work, heard_at=heard, idle_since=AT)

    looked = next_step(facts, at=AT)

    assert looked == Step(decide.WAIT, next_check_at=heard + decide.SILENT + SECOND)
    assert looked.next_check_at is not None
    assert next_step(facts, at=looked.next_check_at).do == decide.MARK_LOST


@pytest.mark.parametrize("state", sorted(states.INSTANCE.final))
def test_does_nothing_with_what_is_over(state: str) -> None:
    assert next_step(replace(READY, state=state, heard_at=None), at=AT) == Step(decide.WAIT)


LATE = {"state_at": AT - 61 * SECOND}


@pytest.mark.parametrize(
    ("facts", "changes", "is_taken"),
    [
        (READY, {"notice": True}, True),
        (BOOTING, {"notice": True}, True),
        (LOST, {"seen": InstanceState.GONE}, True),
        (LOST, {"seen": InstanceState.FAILED}, True),
        (LOST, {"seen": InstanceState.RUNNING}, False),
        (LOST, {"seen": None}, False),
        (BOOTING, {"seen": InstanceState.GONE} | LATE, True),
        (BOOTING, {"seen": InstanceState.GONE}, False),
        (BOOTING, {"seen": InstanceState.FAILED} | LATE, False),
        (READY, {}, False),
    ],
)
def test_tells_that_the_cloud_takes_a_spot_machine_back(
    facts: Facts, changes: dict[str, Any], is_taken: bool
) -> None:
    assert decide.is_taken_back(replace(facts, spot=True, **changes), at=AT) is is_taken
    assert not decide.is_taken_back(replace(facts, **changes), at=AT)


@pytest.mark.parametrize(
    ("facts", "do"),
    [
        (replace(READY, live=0, wanted=0), decide.BEGIN_END),
        (replace(READY, state=states.IDLE, live=0, wanted=0), decide.BEGIN_END),
        (READY, decide.WAIT),
        (BOOTING, decide.FAIL_BOOT),
        (replace(BOOTING, wanted=0), decide.BEGIN_END),
    ],
)
def test_a_machine_that_is_taken_back_is_not_kept(facts: Facts, do: str) -> None:
    assert next_step(replace(facts, interrupted=True), at=AT).do == do
