from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apps.instances import decide, states
from apps.instances.decide import Facts, next_step

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
)


@pytest.mark.parametrize("state", [states.REQUESTED, states.CREATING])
def test_asks_the_provider_again_after_a_worker_died(state: str) -> None:
    assert next_step(replace(READY, state=state), at=AT).do == decide.CREATE


def test_is_lost_when_its_agent_is_silent() -> None:
    assert next_step(replace(READY, heard_at=AT - 59 * SECOND), at=AT).do == decide.WAIT
    assert next_step(replace(READY, heard_at=AT - 61 * SECOND), at=AT).do == decide.MARK_LOST


def test_ends_a_machine_that_stays_lost() -> None:
    lost = replace(READY, state=states.LOST)

    assert next_step(lost, at=AT).do == decide.WAIT
    assert next_step(lost, at=AT + decide.GIVEN_UP).do == decide.BEGIN_END


def test_ends_a_machine_whose_agent_never_calls() -> None:
    booting = replace(READY, state=states.BOOTING)

    assert next_step(booting, at=AT + decide.BOOT_DEADLINE).do == decide.BEGIN_END


def test_idles_without_work_and_wakes_with_it() -> None:
    assert next_step(replace(READY, live=0), at=AT).do == decide.MARK_IDLE
    assert next_step(replace(READY, state=states.IDLE), at=AT).do == decide.MARK_READY


def test_ends_an_idle_machine_after_its_time() -> None:
    idle = replace(READY, state=states.IDLE, live=0, idle_since=AT - 299 * SECOND)

    assert next_step(idle, at=AT).look_at == AT + SECOND
    assert next_step(idle, at=AT + SECOND).do == decide.BEGIN_END


def test_keeps_a_shared_host_however_long_it_has_no_work() -> None:
    assert next_step(replace(READY, shared=True, live=0), at=AT).do == decide.WAIT
