"""A real agent process against a control plane in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import RunningAgent


@pytest.fixture
def control() -> Iterator[ControlPlane]:
    control = ControlPlane()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a space in its path that any user may pass through, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="dstack agent "))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def marker() -> Iterator[Path]:
    """A file of the host in /tmp, with one of the same name in /dev/shm."""
    name = f"of-the-host-{os.getpid()}"
    places = [Path("/tmp", name), Path("/dev/shm", name)]
    for place in places:
        place.write_text("seen")
    yield places[0]
    for place in places:
        place.unlink()


@pytest.fixture
def stopped_agent(control: ControlPlane, place: Path) -> Iterator[RunningAgent]:
    agent = RunningAgent(control, place / "home")
    yield agent
    agent.clean_up()


@pytest.fixture
def agent_on_host_network(stopped_agent: RunningAgent) -> RunningAgent:
    """An agent whose replicas share the network of this machine, as an ordinary user's do."""
    stopped_agent.env["DSTACK_AGENT_NETWORK"] = "host"
    stopped_agent.start()
    return stopped_agent


@pytest.fixture
def agent(stopped_agent: RunningAgent) -> RunningAgent:
    stopped_agent.start()
    return stopped_agent
