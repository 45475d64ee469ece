"""The agent of compose.yaml, with the rights that it has there: root, and a few capabilities."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from apps.agent import wire
from apps.agent.host import users
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import ROOT, SERVE, RunningAgent, eventually, workload

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to give rights up")


def rights() -> str:
    """Those of the file, as setpriv writes them."""
    agent = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["agent"]
    assert (agent["user"], agent["cap_drop"]) == ("0:0", ["ALL"])
    return ",".join(["-all", *(f"+{name.lower()}" for name in agent["cap_add"])])


@pytest.fixture
def agent(stopped_agent: RunningAgent, place: Path) -> Iterator[RunningAgent]:
    setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
    few = [f"--bounding-set={rights()}", "--inh-caps=-all"]
    stopped_agent.argv = [setpriv, *few, *stopped_agent.argv]
    stopped_agent.start()
    yield stopped_agent


def test_runs_replicas_as_others_and_stops_them(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE))

    report = control.wait_for("w1", ready=True)

    assert report.pid is not None
    assert Path(f"/proc/{report.pid}").stat().st_uid >= users.FIRST_UID
    control.ask_to_stop("w1")
    assert control.wait_for("w1", state=wire.EXITED).reason == wire.REASON_STOPPED
    control.forget("w1")
    eventually(lambda: not (agent.folder("w1") / "work").exists(), seconds=90)


def test_a_replica_reads_neither_the_agents_token_nor_anothers_files(
    control: ControlPlane, agent: RunningAgent, place: Path
) -> None:
    config = place / "config.json"
    config.write_text("token of the agent")
    config.chmod(0o600)
    os.chown(config, 1000, 1000)  # the server writes it
    control.assign(workload("echo of another > mine", SERVE, id="w0", env={"SECRET": "of another"}))
    other = control.wait_for("w0", ready=True)
    tries = f"cat '{config}' '{agent.folder('w0')}/work/mine' /proc/{other.pid}/environ"
    control.assign(workload(f"{tries}; kill {other.pid}; grep Cap /proc/self/status"))

    lines = "\n".join(control.wait_for("w1", state=wire.EXITED).last_lines)

    assert "of the agent" not in lines
    assert "of another" not in lines
    assert "CapEff:\t0000000000000000" in lines
    after = control.seen("w0")
    assert after and after.pid == other.pid
