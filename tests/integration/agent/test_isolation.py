"""As root: a replica is a user of its own, who sees nothing of the server or of other replicas."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent import wire
from apps.agent.host import files, users
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import SERVE, RunningAgent, eventually, workload

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to become other users")


@pytest.fixture
def private_home(stopped_agent: RunningAgent, place: Path) -> Iterator[RunningAgent]:
    """An agent whose home lies below a folder that only root may pass, as /root is."""
    place.chmod(0o700)
    stopped_agent.start()
    yield stopped_agent
    stopped_agent.clean_up()
    for base in users.FALLBACK_BASE.glob("*"):
        # Another agent of this machine may clear one meanwhile.
        owner = files.read_json(base / "owner.json") or {}
        if owner.get("root") == str(stopped_agent.home):
            shutil.rmtree(base, ignore_errors=True)


def output_of(control: ControlPlane, *commands: str) -> list[str]:
    control.assign(workload(*commands))
    return control.wait_for("w1", state=wire.EXITED).last_lines


def test_runs_each_replica_as_a_user_without_groups_or_new_rights(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(SERVE, id="w0"))
    control.wait_for("w0", state=wire.RUNNING)

    lines = output_of(control, "id -u", "id -G", "grep NoNewPrivs /proc/self/status")

    uid = int(lines[0])
    assert uid >= users.FIRST_UID
    assert lines[1:] == [str(uid), "NoNewPrivs:\t1"]
    assert (agent.folder("w0") / "work").stat().st_uid not in (uid, 0)


@pytest.mark.parametrize("path", ["work", "record.json", "process.json", "output", "."])
def test_shows_a_replica_nothing_of_another(
    control: ControlPlane, agent_on_host_network: RunningAgent, path: str
) -> None:
    control.assign(workload(SERVE, id="w0", env={"SECRET": "of another"}))
    other = control.wait_for("w0", ready=True)
    target = agent_on_host_network.folder("w0") / path

    lines = output_of(
        control,
        f"ls '{target}/' ; cat '{target}' ; cat /proc/{other.pid}/environ ; kill {other.pid}",
    )

    said = "\n".join(lines)
    assert "of another" not in said
    assert said.count("Permission denied") >= 2
    assert "kill: Operation not permitted" in said


def test_hides_the_agents_token_and_the_servers_files(
    control: ControlPlane, agent: RunningAgent, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the server")
    control.wait(lambda: control.reports)

    lines = output_of(
        control,
        f"cat {secret} /proc/{agent.pid}/environ /proc/{agent.pid}/cmdline '{agent.home}'/* | "
        "tr '\\0' ' ' | grep -e dsk_ -e 'of the server' || echo nothing",
    )

    assert lines[-1] == "nothing"


def test_finds_another_place_when_its_home_cannot_be_passed(
    control: ControlPlane, private_home: RunningAgent
) -> None:
    control.assign(workload("pwd", SERVE))

    report = control.wait_for("w1", ready=True)

    assert report.address is not None
    assert control.wait(lambda: control.lines("w1"))[0].startswith(f"{users.FALLBACK_BASE}/")
    control.forget("w1")
    eventually(lambda: not Path(control.lines("w1")[0]).exists())


def test_stops_what_a_deleted_home_left_running(
    control: ControlPlane, private_home: RunningAgent
) -> None:
    control.assign(workload("pwd", SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0
    private_home.kill()
    shutil.rmtree(private_home.home)
    control.forget("w1")

    private_home.start()

    eventually(lambda: not os.path.exists(f"/proc/{pid}/exe"))  # noqa: PTH110
    eventually(lambda: not Path(control.lines("w1")[0]).exists())


def test_kills_a_replica_that_forks_as_fast_as_it_dies(
    control: ControlPlane, agent: RunningAgent
) -> None:
    loop = "import os\\nwhile True:\\n  if os.fork(): os._exit(0)"
    control.assign(workload(f"printf '{loop}' > a.py", "python3 a.py", "sleep 0.3"))

    control.wait_for("w1", state=wire.EXITED)

    uid = (agent.folder("w1") / "work").stat().st_uid
    own = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _uid(p) == uid]
    assert own == []


def _uid(process: Path) -> int:
    try:
        return process.stat().st_uid
    except FileNotFoundError:
        return 0
