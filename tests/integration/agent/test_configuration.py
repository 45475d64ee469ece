"""The configuration file comes, changes and goes while the agent runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent import files, procs
from tests.fakes.control_plane import TOKEN, ControlPlane
from tests.integration.agent.running import SERVE, RunningAgent, eventually, workload


@pytest.fixture
def config(plane: ControlPlane, stopped_agent: RunningAgent, place: Path) -> Path:
    """Where a running agent waits for its configuration."""
    path = place / "boot.json"
    stopped_agent.env["DSTACK_AGENT_CONFIG"] = str(path)
    stopped_agent.start()
    return path


def write(config: Path, plane: ControlPlane, *, token: str = TOKEN) -> None:
    content = {"url": plane.url, "token": token, "instance_id": plane.instance_id}
    files.write_json(config, content)


def test_waits_for_its_configuration(plane: ControlPlane, config: Path) -> None:
    plane.assign(workload(SERVE))

    write(config, plane)

    assert plane.wait_for("w1", ready=True).address


def test_stops_everything_when_its_configuration_goes(
    plane: ControlPlane, config: Path, stopped_agent: RunningAgent
) -> None:
    write(config, plane)
    plane.assign(workload(SERVE))
    pid = plane.wait_for("w1", ready=True).pid or 0

    config.unlink()

    eventually(lambda: procs.of_session(pid) == [])
    assert stopped_agent.process is not None
    assert stopped_agent.process.poll() is None


def test_keeps_its_replicas_when_only_the_token_changes(plane: ControlPlane, config: Path) -> None:
    write(config, plane, token="dsk_a_an-old-token-of-the-tests")
    plane.assign(workload(SERVE))
    plane.wait(lambda: plane.calls)
    write(config, plane)
    before = plane.wait_for("w1", ready=True)
    write(config, plane, token="dsk_a_an-old-token-of-the-tests")
    seen = len(plane.calls)
    plane.wait(lambda: len(plane.calls) > seen)
    plane.reports.clear()

    write(config, plane)

    assert plane.wait_for("w1", ready=True).pid == before.pid


def test_starts_over_when_it_is_given_to_another_instance(
    plane: ControlPlane, config: Path, stopped_agent: RunningAgent
) -> None:
    write(config, plane)
    plane.assign(workload(SERVE))
    pid = plane.wait_for("w1", ready=True).pid or 0
    plane.instance_id = "instance-2"
    plane.forget("w1")

    write(config, plane)
    plane.assign(workload(SERVE, id="w2"))

    assert plane.wait_for("w2", ready=True).address
    assert procs.of_session(pid) == []
    assert not stopped_agent.folder("w1").exists()


def test_never_shows_the_token(
    plane: ControlPlane, config: Path, stopped_agent: RunningAgent
) -> None:
    write(config, plane)
    plane.wait(lambda: plane.reports)
    plane.refuse_with = 401
    eventually(lambda: "answered 401" in stopped_agent.log.read_text())

    command_line = Path(f"/proc/{stopped_agent.pid}/cmdline").read_text()

    assert TOKEN not in command_line
    assert TOKEN not in stopped_agent.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which server"),
        (["--url", "not an address"], "must look like https://host:port"),
        (["--url", "http://127.0.0.1:1", "--token-file", "/no/such/file"], "--token-file: No such"),
    ],
)
def test_says_what_is_wrong_with_its_arguments(
    stopped_agent: RunningAgent, arguments: list[str], message: str
) -> None:
    stopped_agent.argv += arguments
    stopped_agent.env["DSTACK_AGENT_CONFIG"] = ""

    stopped_agent.start()

    assert stopped_agent.process is not None
    assert stopped_agent.process.wait(timeout=10) == 1
    assert message in stopped_agent.log.read_text()
