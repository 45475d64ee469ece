"""A folder of the machine in replicas: real mounts of processes, as root, and of a real engine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.host import users
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.engines import IMAGE, running_engine
from tests.integration.agent.running import RunningAgent, workload

needs_root = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to make mounts")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that lies where no other user may pass, as /root does."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder) / "models"


@pytest.fixture(scope="module")
def engine_address() -> Iterator[str]:
    with running_engine() as address:
        yield address


def last_lines(control: ControlPlane, id: str, *commands: str, **fields: Any) -> list[str]:
    control.assign(workload(*commands, id=id, **fields))
    return control.wait_for(id, state=wire.EXITED).last_lines


def mount(source: Path | str, path: str, *, optional: bool = False) -> list[wire.MountSpec]:
    return [wire.MountSpec(str(source), path, optional)]


@needs_root
def test_a_process_finds_what_the_one_before_it_left(
    control: ControlPlane, agent: RunningAgent, shared: Path
) -> None:
    mounts = mount(shared, "/tmp/models/cache")

    first = last_lines(
        control, "a", "echo weights > /tmp/models/cache/llama", "id -u", mounts=mounts
    )
    second = last_lines(control, "b", "cat /tmp/models/cache/llama", mounts=mounts)

    assert second == ["weights"]
    assert (shared / "llama").stat().st_uid == int(first[-1])
    assert last_lines(control, "c", f"ls {shared} || echo hidden")[-1] == "hidden"


@needs_root
def test_no_program_has_rights_of_its_own_in_a_mounted_folder(
    control: ControlPlane, agent: RunningAgent, shared: Path
) -> None:
    lines = last_lines(
        control,
        "a",
        "grep ' /tmp/models ' /proc/self/mountinfo",
        mounts=mount(shared, "/tmp/models"),
    )

    options = lines[-1].split()[5].split(",")
    assert {"nosuid", "nodev"} <= set(options)


@needs_root
def test_a_process_says_which_folder_it_cannot_have(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("echo ran", mounts=mount("/etc", "/tmp/a")))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.reason == wire.REASON_PREPARE_FAILED
    assert report.message.startswith("volumes: /etc:/tmp/a: no service may have /etc")


def test_a_process_on_the_hosts_network_goes_without_an_optional_one(
    control: ControlPlane, agent_on_host_network: RunningAgent, shared: Path
) -> None:
    lines = last_lines(
        control,
        "a",
        "ls /tmp/models || echo none",
        mounts=mount(shared, "/tmp/models", optional=True),
    )

    assert lines[-1] == "none"
    assert any("it is optional" in line for line in control.lines("a"))


def test_a_container_finds_what_the_one_before_it_left(
    control: ControlPlane, stopped_agent: RunningAgent, engine_address: str, shared: Path
) -> None:
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()
    container: dict[str, Any] = {
        "executor": "docker",
        "image": IMAGE,
        "mounts": mount(shared, "/root/.cache"),
    }

    last_lines(control, "a", "echo weights > /root/.cache/llama", **container)

    assert last_lines(control, "b", "cat /root/.cache/llama", **container) == ["weights"]
    assert (shared / "llama").read_text() == "weights\n"
