"""The shim alone: one process beside each replica, which no agent looks after."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent.host import files, procs
from apps.agent.processes import shim
from apps.agent.workloads import output
from tests.integration.agent.running import ROOT, eventually

Start = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "workload"
    path.mkdir()
    yield path
    procs.signal_all(procs.with_home(str(path)), signal.SIGKILL)


@pytest.fixture
def start(folder: Path) -> Start:
    def start(command: str, **fields: Any) -> None:
        launch = shim.Launch(
            id="w",
            argv=["sh", "-c", command],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            working_dir="/",
            uid=None,
            cgroups=[],
            wake="/no/such/fifo",
        )
        files.write_json(folder / shim.LAUNCH, launch._replace(**fields)._asdict())
        run(folder)

    return start


def run(folder: Path) -> None:
    argv = [sys.executable, "-m", "apps.agent", "shim", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=20)


def state(folder: Path) -> dict[str, Any]:
    return files.read_json(folder / shim.STATE) or {}


def ended(folder: Path) -> dict[str, Any]:
    eventually(lambda: state(folder).get("ended"))
    return state(folder)


def test_keeps_output_and_exit_code(folder: Path, start: Start) -> None:
    start("echo out; echo err >&2; exit 3")

    assert ended(folder)["exit_code"] == 3
    assert output.tail(folder / "output") == ["out", "err"]


def test_forgets_the_environment_when_it_ends(folder: Path, start: Start) -> None:
    start("true")

    ended(folder)
    eventually(lambda: not (folder / shim.LAUNCH).exists())


def test_starts_a_replica_once_however_often_it_is_started(folder: Path, start: Start) -> None:
    start("echo started; sleep 0.2")
    run(folder)
    ended(folder)
    files.write_json(folder / shim.LAUNCH, {"of": "a late shim"})

    run(folder)

    assert output.tail(folder / "output") == ["started"]


def test_stops_when_the_host_goes_down(folder: Path, start: Start) -> None:
    start("trap 'echo bye; exit 4' TERM; echo up; while true; do sleep 0.05; done")
    eventually(lambda: "up" in output.tail(folder / "output"))

    os.kill(state(folder)["shim_pid"], signal.SIGTERM)

    assert ended(folder)["exit_code"] == 4
    assert output.tail(folder / "output")[-1] == "bye"


def test_ends_when_its_folder_was_deleted(folder: Path, start: Start) -> None:
    start("setsid sleep 600 & sleep 600", look_seconds=0.2)
    eventually(lambda: len(procs.with_home(str(folder))) >= 2)
    shim_pid, shim_start = state(folder)["shim_pid"], state(folder)["shim_start"]

    shutil.rmtree(folder)

    eventually(lambda: not procs.with_home(str(folder)))
    eventually(lambda: not procs.is_alive(shim_pid, shim_start))


def test_bounds_what_it_keeps(folder: Path, start: Start) -> None:
    start("seq 1 200000", max_output_bytes=100_000)

    ended(folder)
    kept = output.files(folder / "output")
    assert sum(path.stat().st_size for path in kept) < 300_000
    assert output.tail(folder / "output")[-1] == "200000"


def test_says_what_is_not_found(folder: Path, start: Start) -> None:
    start("", argv=["no-such-program"])

    assert ended(folder)["error"] == "command not found: no-such-program"
