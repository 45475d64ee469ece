from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agent import wire
from apps.runs import states
from apps.runs.control import decide, replica_steps
from apps.runs.control.replica_steps import Timing, WorkloadFacts
from tests.unit.runs.test_decide import AT, SECOND, STATES

WORKLOAD = WorkloadFacts(state="running", ready=None, asked_to_stop=False)
TIMING = Timing(
    state_at=AT - 10 * SECOND,
    not_before=None,
    deadline_at=AT + 60 * SECOND,
    drained_at=None,
    stop_duration=300 * SECOND,
)


def step(
    state: str, workload: WorkloadFacts | None = WORKLOAD, **timing: Any
) -> replica_steps.Step:
    return replica_steps.advance(state, workload, replace(TIMING, **timing), at=AT)


def test_waits_for_the_end_of_its_backoff() -> None:
    later = AT + 5 * SECOND

    assert step(states.PENDING, None, not_before=later).next_check_at == later
    assert step(states.PENDING, None, not_before=AT).place


def test_runs_when_its_probe_passes() -> None:
    assert step(states.STARTING, replace(WORKLOAD, ready=True)).to == states.RUNNING


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("no-capacity", "no-capacity"),
        ("not-booted", "no-capacity"),
        ("engine_away", "no-capacity"),
        ("no-backend", "no-backend"),
        ("no-region", "no-backend"),
    ],
)
def test_waits_for_another_place_when_its_machine_never_came(reason: str, told: str) -> None:
    never = replace(WORKLOAD, state="exited", exit_reason=reason, message="nothing is free")

    again = step(states.PROVISIONING, never)
    late = step(states.PROVISIONING, never, deadline_at=AT)
    leaving = step(states.DRAINING, never)

    assert (again.to, again.next_check_at) == (states.PENDING, AT)
    assert (late.to, late.exit_reason) == (states.FAILED, told)
    assert leaving.to == states.STOPPED


def test_tells_what_its_probe_remarked() -> None:
    refused = replace(WORKLOAD, ready=True, probe_message="POST /v1/chat/completions: answered 404")

    assert step(states.STARTING, refused).reason == "POST /v1/chat/completions: answered 404"


def test_skips_starting_when_the_first_report_says_ready() -> None:
    assert step(states.PROVISIONING, replace(WORKLOAD, ready=True)).to == states.RUNNING


def test_fails_at_its_deadline_with_the_last_probe_failure() -> None:
    refused = replace(WORKLOAD, probe_message="connection refused on port 8000")

    found = step(states.STARTING, refused, deadline_at=AT)

    assert (found.to, found.stop) == (states.FAILED, True)
    assert found.reason == "not ready within its deadline: connection refused on port 8000"


def test_is_unhealthy_while_its_probe_fails_and_comes_back() -> None:
    failing = replace(WORKLOAD, ready=False, probe_message="503")

    assert step(states.RUNNING, failing).to == states.UNHEALTHY
    assert step(states.UNHEALTHY, replace(WORKLOAD, ready=True)).to == states.RUNNING


def test_ends_what_stays_unhealthy_for_two_minutes() -> None:
    failing = replace(WORKLOAD, ready=False, probe_message="503")
    since = AT - replica_steps.UNHEALTHY_FOR

    early = step(states.UNHEALTHY, failing, state_at=since + SECOND)
    assert (early.to, early.next_check_at) == (None, AT + SECOND)
    late = step(states.UNHEALTHY, failing, state_at=since)
    assert (late.to, late.stop, late.exit_reason) == (states.FAILED, True, "error")
    assert late.reason == "unhealthy for 2 minutes: 503"


@pytest.mark.parametrize("state", [states.PROVISIONING, states.STARTING, states.RUNNING])
def test_fails_when_its_process_ends(state: str) -> None:
    ended = replace(WORKLOAD, state="exited", message="exited with code 3", exit_reason="exited")

    assert step(state, ended) == replica_steps.Step(states.FAILED, "exited with code 3", "exited")


@pytest.mark.parametrize(
    ("message", "to"),
    [
        (wire.AGENT_STOPPED, states.STOPPED),
        (f"{wire.AGENT_STOPPED} (killed: it did not stop within 5 s)", states.STOPPED),
        ("the host was restarted", states.FAILED),
        ("its machine is gone", states.FAILED),
    ],
)
@pytest.mark.parametrize("state", [states.PROVISIONING, states.STARTING, states.RUNNING])
def test_the_end_of_the_server_is_no_failure(state: str, message: str, to: str) -> None:
    reason = decide.HOST_STOPPED
    ended = replace(WORKLOAD, state="exited", message=message, exit_reason=reason)

    assert step(state, ended) == replica_steps.Step(to, message, reason)


def test_drains_until_the_last_request_ends_or_its_time_is_over() -> None:
    assert not step(states.DRAINING).stop
    assert step(states.DRAINING, drained_at=AT).stop
    assert step(states.DRAINING, state_at=AT - 300 * SECOND).stop


def test_stops_when_what_it_drained_has_ended() -> None:
    ended = replace(WORKLOAD, state="exited", exit_code=143)

    assert step(states.DRAINING, ended).to == states.STOPPED


def test_is_lost_with_its_machine() -> None:
    assert step(states.RUNNING, None).exit_reason == decide.HOST_STOPPED


@given(
    state=STATES.filter(lambda s: s not in states.REPLICA.final),
    workload=st.none()
    | st.builds(
        WorkloadFacts,
        state=st.sampled_from(["assigned", "pulling", "running", "exited"]),
        ready=st.none() | st.booleans(),
        asked_to_stop=st.booleans(),
    ),
    drained=st.none() | st.just(AT),
)
def test_only_takes_edges_of_the_table(state: str, workload: Any, drained: Any) -> None:
    found = step(state, workload, drained_at=drained)

    assert found.to is None or found.to in states.REPLICA.edges[state]


AWAY = replace(WORKLOAD, ready=False, waits=True, probe_message="no engine answers")


@pytest.mark.parametrize("minutes", [2, 5, 9])
def test_waits_for_an_engine_that_is_away(minutes: int) -> None:
    at = AT - minutes * 60 * SECOND

    waiting = step(states.UNHEALTHY, AWAY, state_at=at)
    sick = step(states.UNHEALTHY, replace(AWAY, waits=False), state_at=at)

    assert (waiting.to, waiting.stop) == (None, False)
    assert (sick.to, sick.exit_reason) == (states.FAILED, "error")


def test_an_engine_that_stays_away_is_given_up_as_a_host_is() -> None:
    given_up = step(states.UNHEALTHY, AWAY, state_at=AT - replica_steps.ENGINE_GIVEN_UP)

    assert (given_up.to, given_up.exit_reason, given_up.stop) == (
        states.FAILED,
        decide.HOST_STOPPED,
        True,
    )
    assert given_up.reason == "its container engine has been away for 10 minutes"


@pytest.mark.parametrize(
    ("state", "ready", "cut_seconds", "since_seconds", "to", "exit_reason"),
    [
        (states.RUNNING, True, None, 10, None, ""),
        (states.RUNNING, True, 29, 10, None, ""),
        (states.RUNNING, True, 30, 10, states.UNHEALTHY, ""),
        (states.RUNNING, None, 30, 10, states.UNHEALTHY, ""),
        (states.RUNNING, False, 1, 10, states.UNHEALTHY, ""),
        (states.UNHEALTHY, True, 149, 119, None, ""),
        # Its machine was away for an hour, and has just come back.
        (states.UNHEALTHY, True, 119, 3600, None, ""),
        (states.UNHEALTHY, True, 150, 120, states.FAILED, "host_stopped"),
        (states.UNHEALTHY, False, 150, 120, states.FAILED, "error"),
        # Back for a moment, and away again: it has not answered since.
        (states.UNHEALTHY, True, 1, 60, None, ""),
        (states.UNHEALTHY, True, None, 119, states.RUNNING, ""),
        (states.DRAINING, True, 90, 10, None, ""),
        (states.STARTING, True, 90, 10, states.RUNNING, ""),
    ],
)
def test_a_tunnel_that_stays_cut_is_no_place_to_serve_from(
    state: str,
    ready: bool | None,
    cut_seconds: int | None,
    since_seconds: int,
    to: str | None,
    exit_reason: str,
) -> None:
    cut_at = None if cut_seconds is None else AT - cut_seconds * SECOND
    workload = replace(WORKLOAD, ready=ready, cut_at=cut_at)

    found = step(state, workload, state_at=AT - since_seconds * SECOND)

    assert (found.to, found.exit_reason) == (to, exit_reason)
    if to == states.RUNNING and state == states.UNHEALTHY:
        assert found.reason == "it answers again"
    if exit_reason == "host_stopped":
        assert found.stop
        assert found.reason.endswith("2 minutes: its gateway reaches it no more: its tunnel is cut")


def test_looks_again_when_a_tunnel_has_been_cut_long_enough() -> None:
    workload = replace(WORKLOAD, ready=True, cut_at=AT - 20 * SECOND)

    assert step(states.RUNNING, workload).next_check_at == AT + 10 * SECOND


def test_one_that_could_not_start_for_want_of_its_engine_is_no_failure_of_its_own() -> None:
    late = step(states.STARTING, AWAY, deadline_at=AT)

    assert (late.to, late.exit_reason) == (states.FAILED, decide.HOST_STOPPED)


@pytest.mark.parametrize(
    ("state", "lost", "to"),
    [
        (states.RUNNING, True, states.UNHEALTHY),
        (states.RUNNING, False, None),
        (states.UNHEALTHY, True, None),
        (states.UNHEALTHY, False, states.RUNNING),
    ],
)
@pytest.mark.parametrize("minutes", [1, 60])
def test_waits_for_a_machine_that_is_silent(
    state: str, lost: bool, to: str | None, minutes: int
) -> None:
    said = replace(WORKLOAD, state="running", ready=True, lost=lost)

    found = step(state, said, state_at=AT - 60 * minutes * SECOND)

    assert (found.to, found.stop) == (to, False)


TAKEN = replace(WORKLOAD, ready=True, interrupted=True)


@pytest.mark.parametrize(
    ("ends_at", "stop"),
    [(AT + 60 * SECOND, False), (AT + 6 * SECOND, False), (AT + 5 * SECOND, True), (AT, True)],
)
def test_requests_in_flight_have_until_just_before_the_machine_ends(
    ends_at: object, stop: bool
) -> None:
    found = step(states.DRAINING, TAKEN, ends_at=ends_at)

    assert (found.stop, found.hurry) == (stop, stop)


def test_what_is_drained_on_a_machine_that_ends_is_stopped_in_a_hurry() -> None:
    found = step(states.DRAINING, TAKEN, ends_at=AT + 60 * SECOND, drained_at=AT)

    assert (found.stop, found.hurry) == (True, True)


@pytest.mark.parametrize(
    ("state", "exit_reason", "to", "told"),
    [
        (states.DRAINING, "stopped", states.STOPPED, "interrupted"),
        (states.RUNNING, "host_stopped", states.FAILED, "interrupted"),
        (states.STARTING, "host_stopped", states.FAILED, "interrupted"),
        (states.RUNNING, "exited", states.FAILED, "exited"),
    ],
)
def test_ends_as_interrupted_where_its_cloud_took_the_machine(
    state: str, exit_reason: str, to: str, told: str
) -> None:
    found = step(state, replace(TAKEN, state="exited", exit_reason=exit_reason))

    assert (found.to, found.exit_reason) == (to, told)
