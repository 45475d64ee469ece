"""The configuration file comes, changes and goes while the agent runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent.host import files, procs
from tests.fakes.control_plane import TOKEN, ControlPlane
from tests.integration.agent.running import SERVE, RunningAgent, eventually, workload


@pytest.fixture
def config(control: ControlPlane, stopped_agent: RunningAgent, place: Path) -> Path:
    """Where a running agent waits for its configuration."""
    path = place / "boot.json"
    stopped_agent.env["DSTACK_AGENT_CONFIG"] = str(path)
    stopped_agent.start()
    return path


def write(config: Path, control: ControlPlane, *, token: str = TOKEN) -> None:
    content = {"url": control.url, "token": token, "instance_id": control.instance_id}
    files.write_json(config, content)


def test_waits_for_its_configuration(control: ControlPlane, config: Path) -> None:
    control.assign(workload(SERVE))

    write(config, control)

    assert control.wait_for("w1", ready=True).address


def test_stops_everything_when_its_configuration_goes(
    control: ControlPlane, config: Path, stopped_agent: RunningAgent
) -> None:
    write(config, control)
    control.assign(workload(SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0

    config.unlink()

    eventually(lambda: procs.of_session(pid) == [])
    assert stopped_agent.process is not None
    assert stopped_agent.process.poll() is None


def test_keeps_its_replicas_when_only_the_token_changes(
    control: ControlPlane, config: Path
) -> None:
    write(config, control, token="dsk_a_an-old-token-of-the-tests")
    control.assign(workload(SERVE))
    control.wait(lambda: control.calls)
    write(config, control)
    before = control.wait_for("w1", ready=True)
    write(config, control, token="dsk_a_an-old-token-of-the-tests")
    seen = len(control.calls)
    control.wait(lambda: len(control.calls) > seen)
    control.reports.clear()

    write(config, control)

    assert control.wait_for("w1", ready=True).pid == before.pid


def test_starts_over_when_it_is_given_to_another_instance(
    control: ControlPlane, config: Path, stopped_agent: RunningAgent
) -> None:
    write(config, control)
    control.assign(workload(SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0
    control.instance_id = "instance-2"
    control.forget("w1")

    write(config, control)
    control.assign(workload(SERVE, id="w2"))

    assert control.wait_for("w2", ready=True).address
    assert procs.of_session(pid) == []
    assert not stopped_agent.folder("w1").exists()


def test_never_shows_the_token(
    control: ControlPlane, config: Path, stopped_agent: RunningAgent
) -> None:
    write(config, control)
    control.wait(lambda: control.reports)
    control.refuse_with = 401
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
