"""The commands of a service in a real process and a real container: shell, order, live output."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.engines import IMAGE, running_engine
from tests.integration.agent.running import RunningAgent
from tests.programs import require_program

WITH_BASH = "test/bash:1"
ITEMS = [
    "nohup sleep 300 > l 2>&1 &",
    "echo prepared  # only once",
    "cat > f <<EOF\nfrom a here-document\nEOF",
    "if true; then\n  export WHO=$0\nfi",
    "false || cat f",
    "echo $WHO",
    "exit 4",
    "echo never",
]


@pytest.fixture(scope="module")
def engine_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_engine() as address:
        _add_bash(address, tmp_path_factory.mktemp("image"))
        yield address


@pytest.fixture
def with_engine(stopped_agent: RunningAgent, engine_address: str) -> RunningAgent:
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()
    return stopped_agent


def _add_bash(address: str, folder: Path) -> None:
    """Lay this machine's bash, with the libraries that it loads, over the image of busybox."""
    bash = require_program("bash", package="bash")
    listed = subprocess.check_output(["ldd", bash], text=True).split()
    for path in [word for word in listed if word.startswith("/")]:
        (folder / Path(path).parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / Path(path).relative_to("/"))
    shutil.copy(bash, folder / "bash")
    lines = [f"FROM {IMAGE}", "COPY . /", "ENV PATH=/bin:/ PYTHONUNBUFFERED=7", ""]
    (folder / "Dockerfile").write_text("\n".join(lines))
    build = ["docker", "-H", address, "build", "-q", "-t", WITH_BASH, str(folder)]
    subprocess.run(build, check=True, capture_output=True, timeout=120, env=_classic())


def _classic() -> dict[str, str]:
    """The builder that is part of the engine: no plug-in is needed."""
    return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "DOCKER_BUILDKIT": "0"}


def container(*commands: str, **fields: Any) -> wire.WorkloadSpec:
    return running.workload(*commands, executor="docker", **fields)


def test_runs_any_items_as_a_process(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(running.workload(*ITEMS, prefers_bash=True))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.last_lines == ["prepared", "from a here-document", "bash"]
    assert report.exit_code == 4


@pytest.mark.parametrize(("image", "shell"), [(IMAGE, "sh"), (WITH_BASH, "bash")])
def test_runs_any_items_in_a_container(
    control: ControlPlane, with_engine: RunningAgent, image: str, shell: str
) -> None:
    control.assign(container(*ITEMS, image=image, prefers_bash=True))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.last_lines == ["prepared", "from a here-document", shell]
    assert report.exit_code == 4


def test_takes_the_shell_that_is_written(control: ControlPlane, with_engine: RunningAgent) -> None:
    control.assign(container("echo $0 $PYTHONUNBUFFERED", image=WITH_BASH, shell="/bin/sh"))

    assert control.wait_for("w1", state=wire.EXITED).last_lines == ["/bin/sh 7"]


def test_stops_what_bash_started_at_once(control: ControlPlane, with_engine: RunningAgent) -> None:
    items = ["sleep 600 &", "echo up", "sleep 600"]
    control.assign(container(*items, image=WITH_BASH, prefers_bash=True))
    control.wait(lambda: control.lines("w1"))

    control.ask_to_stop("w1", stop_seconds=60)

    report = control.wait_for("w1", state=wire.EXITED, seconds=20)
    assert (report.reason, report.message) == (wire.REASON_STOPPED, "stopped")


def test_shows_what_python_prints_while_it_runs(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(running.workload("python3 -c 'import time; print(1); time.sleep(600)'"))

    assert control.wait(lambda: control.lines("w1")) == ["1"]
