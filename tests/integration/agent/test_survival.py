"""The agent may be killed, restarted or cut off: replicas are neither killed nor doubled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from apps.agent import wire
from apps.agent.host import files, procs
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import SERVE, RunningAgent, eventually, workload

Restart = Callable[[RunningAgent], None]


def restart_after_kill(agent: RunningAgent) -> None:
    agent.kill()
    agent.start()


def test_takes_up_its_replicas_after_a_kill(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE))
    before = control.wait_for("w1", ready=True)
    agent.kill()
    assert procs.start_of(before.pid or 0) is not None
    control.reports.clear()

    agent.start()

    after = control.wait_for("w1", ready=True)
    assert (after.pid, after.address) == (before.pid, before.address)
    assert (after.started_at, after.ready_at) == (before.started_at, before.ready_at)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2])
def test_never_doubles_a_replica_wherever_it_is_killed(
    control: ControlPlane, agent: RunningAgent, seconds: float
) -> None:
    control.wait(lambda: control.reports)
    control.assign(workload("echo started", SERVE))
    control.wait(lambda: agent.folder("w1").exists())
    time.sleep(seconds)  # where in the start it is killed is what this test varies

    restart_after_kill(agent)

    control.wait_for("w1", ready=True)
    eventually(lambda: "serving" in control.lines("w1"))
    assert control.lines("w1").count("started") == 1


def test_ends_what_a_killed_agent_left_when_asked_to(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE))
    before = control.wait_for("w1", ready=True)
    agent.kill()
    assert procs.start_of(before.pid or 0) is not None

    assert agent.end() == 0

    assert procs.start_of(before.pid or 0) is None


@pytest.mark.parametrize("seconds", [0.1, 0.15, 0.2, 0.3, 0.5])
def test_ends_what_an_earlier_one_left_wherever_its_start_is_stopped(
    control: ControlPlane, agent: RunningAgent, seconds: float
) -> None:
    control.assign(workload(SERVE))
    before = control.wait_for("w1", ready=True)
    agent.kill()
    agent.start()
    time.sleep(seconds)  # where in the start it is stopped is what this test varies

    code = agent.stop()

    # Before it listens for signals it cannot: then the one that asked must know.
    assert code == -signal.SIGTERM or procs.start_of(before.pid or 0) is None


def test_reports_an_end_that_happened_while_it_was_away(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("echo before", "sleep 0.7", "echo after", "exit 5"))
    control.wait(lambda: control.lines("w1"))
    agent.kill()
    eventually(lambda: (files.read_json(agent.folder("w1") / "state.json") or {}).get("ended"))

    agent.start()

    report = control.wait_for("w1", state=wire.EXITED)
    assert (report.exit_code, report.reason) == (5, wire.REASON_EXITED)
    assert control.wait(lambda: control.lines("w1")[1:]) == ["after"]


def test_goes_on_with_a_stop_that_it_did_not_see_end(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("trap '' TERM; echo up; while true; do sleep 0.1; done"))
    control.wait(lambda: control.lines("w1"))
    control.ask_to_stop("w1", stop_seconds=1.0)
    eventually((agent.folder("w1") / "stop.json").exists)

    restart_after_kill(agent)

    assert control.wait_for("w1", state=wire.EXITED).reason == wire.REASON_STOPPED


def test_keeps_everything_running_while_the_server_is_away(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE))
    before = control.wait_for("w1", ready=True)
    control.stop()
    time.sleep(0.5)
    control.reports.clear()

    control.start()

    assert control.wait_for("w1", ready=True).pid == before.pid


def test_keeps_trying_when_it_is_refused(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE))
    before = control.wait_for("w1", ready=True)
    control.refuse_with = 401
    refused = len(control.calls)
    control.wait(lambda: len(control.calls) > refused + 1)
    control.reports.clear()

    control.refuse_with = None

    assert control.wait_for("w1", ready=True).pid == before.pid
    # A poll that was under way may still be answered: "connected" then stands between two.
    said = [line.partition(" ")[2] for line in agent.log.read_text().splitlines()]
    assert any("answered 401: refused by the test" in line for line in said)
    assert all(line != following for line, following in pairwise(said))


def test_replaces_nothing_when_the_supervisor_of_a_replica_is_killed(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("setsid sleep 4243 & " + SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0

    os.kill(agent.shim_pid("w1"), signal.SIGKILL)

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.reason == wire.REASON_HOST_STOPPED
    assert procs.of_session(pid) == []
    assert procs.with_home(str(agent.folder("w1") / "work")) == []


def test_stops_everything_when_it_is_told_to_stop(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0

    code = agent.stop()

    assert code == 0
    assert procs.of_session(pid) == []
    # One that was under way may come after the last.
    assert any(report.stopping for report in control.reports)
    report = control.wait_for("w1", state=wire.EXITED)
    assert report.reason == wire.REASON_HOST_STOPPED
    assert report.message == "the agent of its host was stopped"


def test_ends_within_8_seconds_whatever_a_replica_does(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("trap '' TERM; echo up; while true; do sleep 0.1; done"))
    control.wait(lambda: control.lines("w1"))
    control.stop()
    began_at = time.monotonic()

    agent.stop()

    assert time.monotonic() - began_at < 8.5
    assert procs.with_home(str(agent.folder("w1") / "work")) == []


def test_says_again_that_its_host_stopped_them(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE))
    control.wait_for("w1", ready=True)
    agent.stop()
    control.reports.clear()

    agent.start()

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.reason == wire.REASON_HOST_STOPPED
    control.forget("w1")
    eventually(lambda: not agent.folder("w1").exists())


def test_takes_a_reboot_for_the_end_of_what_ran(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0
    agent.kill()
    # A reboot ends everything and tells nobody.
    procs.signal_all([agent.shim_pid("w1"), *procs.of_session(pid)], signal.SIGKILL)
    state_file = agent.folder("w1") / "state.json"
    state = files.read_json(state_file) or {}
    files.write_json(state_file, {**state, "boot_id": "of an earlier boot"})

    agent.start()

    report = control.wait_for("w1", state=wire.EXITED)
    assert (report.reason, report.message) == (wire.REASON_HOST_STOPPED, "the host was restarted")


def test_refuses_a_home_that_another_agent_works_in(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.wait(lambda: control.reports)
    second = RunningAgent(control, agent.home)

    second.start()

    assert second.process is not None
    assert second.process.wait(timeout=10) == 1
    assert "another agent works in" in second.log.read_text()
