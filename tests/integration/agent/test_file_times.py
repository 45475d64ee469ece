"""Uploaded files keep their times, in a container of a real engine and in a process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from apps.agent import wire
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.engines import IMAGE, running_engine
from tests.integration.agent.running import RunningAgent, archive

AT, LATER = 1_600_000_000, 1_700_000_000


@pytest.fixture(scope="module")
def engine_address() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture
def agent(stopped_agent: RunningAgent, engine_address: str) -> Iterator[RunningAgent]:
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()
    yield stopped_agent
    stopped_agent.clean_up()


@pytest.mark.parametrize("executor", [{"executor": "docker", "image": IMAGE}, {}])
def test_files_and_folders_keep_their_times(
    control: ControlPlane, agent: RunningAgent, executor: dict[str, str]
) -> None:
    blob = archive({"sub/": "", "sub/file": "text", "newer": "text"}, time=AT)
    name = hashlib.sha256(blob).hexdigest()
    control.blobs[name] = blob
    asks = ["stat -c %Y sub sub/file newer"]

    control.assign(
        running.workload(*asks, upload_hash=name, upload_times={"newer": LATER}, **executor)
    )

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.last_lines == [str(AT), str(AT), str(LATER)]
