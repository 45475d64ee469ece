"""An engine that is stopped, killed and started again under containers that run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker import end
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.engines import IMAGE, SERVE, OwnEngine, make_image, own_engine
from tests.integration.agent.running import RunningAgent

# A server that says goodbye when it is told to stop, as most do.
POLITE = {
    "run-me": "#!/bin/sh\ntrap 'echo bye; exit 0' TERM\nhttpd -p 8000\necho up\n"
    "while :; do sleep 0.1; done\n"
}


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine() as running_one:
        yield running_one


@pytest.fixture(autouse=True)
def started(engine: OwnEngine) -> None:
    if not engine.is_running:
        engine.start()


@pytest.fixture
def agent(stopped_agent: RunningAgent, engine: OwnEngine) -> Iterator[RunningAgent]:
    stopped_agent.env["DOCKER_HOST"] = engine.address
    stopped_agent.start()
    yield stopped_agent
    if not engine.is_running:
        engine.start()
    stopped_agent.clean_up()


def workload(*commands: str, **fields: Any) -> wire.WorkloadSpec:
    return running.workload(*commands, **{"executor": "docker", "image": IMAGE, **fields})


def waits(control: ControlPlane) -> bool:
    seen = control.seen("w1")
    return seen is not None and seen.phase == wire.PHASE_ENGINE_AWAY and seen.ready is False


@pytest.mark.long
def test_what_an_engine_stopped_ended_with_it_whatever_code_it_ended_with(
    control: ControlPlane, agent: RunningAgent, engine: OwnEngine
) -> None:
    make_image(engine.address, "test/polite:1", 'CMD ["/run-me"]', files=POLITE)
    control.assign(workload(image="test/polite:1"))
    control.wait_for("w1", ready=True)

    engine.stop()
    control.wait(lambda: waits(control), seconds=40)
    seen = control.seen("w1")
    assert seen is not None
    assert (seen.state, seen.exit_code) == (wire.RUNNING, None)
    assert "waiting for its container engine" in seen.probe_message
    engine.start()

    report = control.wait_for("w1", state=wire.EXITED, seconds=30)
    assert (report.reason, report.message) == (wire.REASON_HOST_STOPPED, end.ENGINE_STOPPED)
    assert report.exit_code == 0
    assert "bye" in report.last_lines


@pytest.mark.long
def test_waits_for_an_engine_that_was_killed(
    control: ControlPlane, agent: RunningAgent, engine: OwnEngine
) -> None:
    control.assign(workload(SERVE))
    control.wait_for("w1", ready=True)

    engine.stop(signal.SIGKILL)
    control.wait(lambda: waits(control), seconds=40)
    engine.start()

    def over_or_back() -> bool:
        seen = control.seen("w1")
        ended = seen is not None and seen.reason == wire.REASON_HOST_STOPPED
        return ended or seen is not None and seen.ready is True

    control.wait(over_or_back, seconds=60)


def test_starts_what_was_ordered_while_the_engine_restarted(
    control: ControlPlane, agent: RunningAgent, engine: OwnEngine
) -> None:
    engine.stop()
    control.assign(workload(SERVE))
    control.wait(lambda: (r := control.seen("w1")) and r.phase == wire.PHASE_ENGINE_AWAY)

    engine.start()

    control.wait_for("w1", ready=True, seconds=30)


def test_says_that_there_is_no_place_without_an_engine(
    control: ControlPlane, agent: RunningAgent, engine: OwnEngine
) -> None:
    engine.stop()

    control.assign(workload(SERVE))

    report = control.wait_for("w1", state=wire.EXITED, seconds=30)
    assert report.reason == wire.REASON_ENGINE_AWAY
    assert f"no container engine answers at {engine.address}" in report.message
