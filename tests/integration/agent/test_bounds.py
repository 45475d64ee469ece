"""What a replica may use of its host: it goes over its bound and ends, and nothing else does."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.host import files, users
from apps.agent.isolation import cgroups
from apps.agent.workloads import bounds
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.running import SERVE, RunningAgent, eventually

UNBOUNDED = cgroups.check()
bounded = pytest.mark.skipif(bool(UNBOUNDED), reason=f"no control groups here: {UNBOUNDED}")
BOMB = "python3 -c 'import os\nwhile True:\n try: os.fork()\n except OSError: pass'"
EATER = "python3 -c 'b = [bytearray(1 << 20) for _ in range(4096)]'"


# Groups are looked for by it, and tests of other files beside this one have a `w1`.
OWN = "bounded"


def workload(*commands: str, id: str = OWN, **fields: Any) -> wire.WorkloadSpec:
    return running.workload(*commands, id=id, **fields)


def groups(agent: RunningAgent, workload_id: str = OWN) -> list[Path]:
    facts = files.read_json(agent.folder(workload_id) / "process.json") or {}
    return [Path(path) for path in facts.get("cgroups", [])]


def left_of(workload_id: str) -> list[Path]:
    # Unlike `glob`, it goes on where a group ends while it looks.
    start = f"{cgroups.PREFIX}{workload_id}-"
    return [
        Path(at, name)
        for at, inside, _ in os.walk(cgroups.ROOT)
        for name in inside
        if name.startswith(start)
    ]


def neighbour(control: ControlPlane) -> wire.WorkloadSpec:
    other = workload(SERVE, id="w0")
    control.assign(other)
    control.wait_for("w0", ready=True)
    return other


@bounded
@pytest.mark.parametrize(
    ("command", "reason", "words"),
    [
        (BOMB, wire.REASON_OVER_BOUND, "processes and threads that it may have"),
        (EATER, wire.REASON_OUT_OF_MEMORY, "it used more than its 64 MiB of memory"),
    ],
)
def test_ends_what_goes_over_its_bound_and_nothing_else(
    control: ControlPlane, agent: RunningAgent, command: str, reason: str, words: str
) -> None:
    other = neighbour(control)
    before = control.seen("w0")
    control.assign(other, workload(command, memory_limit_mib=64 if command == EATER else None))

    report = control.wait_for(OWN, seconds=60, state=wire.EXITED)

    assert report.reason == reason
    assert words in report.message
    after = control.seen("w0")
    assert before and after and (after.pid, after.ready) == (before.pid, True)
    assert left_of(OWN) == []


@bounded
def test_leaves_the_host_some_memory_whatever_replicas_use_together(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("sleep 60"))
    control.wait_for(OWN, state=wire.RUNNING)
    memory = next(g for g in groups(agent) if (g / "cgroup.procs").exists() and _limit(g))

    kept = cgroups.shared_memory_mib() * cgroups.MIB
    assert (_limit(memory), _limit(memory.parent)) == (kept, kept)


def _limit(group: Path) -> int:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (group / name).exists():
            return int((group / name).read_text())
    return 0


@bounded
@pytest.mark.parametrize("killed", ["agent", "agent and shim"])
def test_frees_the_groups_of_a_replica_also_after_a_kill(
    control: ControlPlane, agent: RunningAgent, killed: str
) -> None:
    control.assign(workload("sleep 60"))
    control.wait_for(OWN, state=wire.RUNNING)
    assert all(group.is_dir() for group in groups(agent))
    agent.kill()
    if killed == "agent and shim":
        os.kill(agent.shim_pid(OWN), signal.SIGKILL)
    agent.start()

    control.ask_to_stop(OWN)

    eventually(lambda: not left_of(OWN))


@bounded
def test_frees_groups_that_nobody_noted(control: ControlPlane, stopped_agent: RunningAgent) -> None:
    """An agent that is killed between making a group and noting it."""
    folder = stopped_agent.folder(OWN)
    folder.mkdir(parents=True)
    cgroups.create(name=bounds.group_name(folder), bounds=cgroups.Bounds(64, 64))
    assert left_of(OWN)
    files.write_json(folder / "record.json", {"spec": wire.to_json(workload("sleep 60"))})

    stopped_agent.start()

    eventually(lambda: not left_of(OWN))


@bounded
def test_leaves_no_group_behind_when_the_agent_stops(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("sleep 60"))
    control.wait_for(OWN, state=wire.RUNNING)

    assert agent.stop() == 0

    assert left_of(OWN) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to hide the control groups")
def test_says_so_where_nothing_can_be_bounded_and_goes_on(
    control: ControlPlane, stopped_agent: RunningAgent
) -> None:
    hide = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    unshare = shutil.which("unshare") or "/usr/bin/unshare"
    stopped_agent.argv = [unshare, "-m", "sh", "-c", hide, "sh", *stopped_agent.argv]
    stopped_agent.start()
    control.assign(workload(SERVE, memory_limit_mib=64))

    control.wait_for(OWN, ready=True)

    said = "nothing bounds the memory and processes of replicas: "
    assert said in stopped_agent.log.read_text()
    assert control.reports[-1].isolation.unbounded
    assert any("memory and CPU are not limited" in line for line in control.lines(OWN))


@bounded
def test_gives_a_process_the_shared_memory_that_it_asks_for(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("df -m /dev/shm | tail -1", shm_size_mib=48))

    assert control.wait_for(OWN, state=wire.EXITED).last_lines[0].split()[1] == "48"


@pytest.mark.parametrize("where", [".", "/tmp"])
def test_ends_what_fills_the_disk_and_nothing_else(
    control: ControlPlane, stopped_agent: RunningAgent, where: str
) -> None:
    if where == "/tmp" and not users.can_isolate():
        pytest.skip("needs root: only then /tmp is the replica's own")
    stopped_agent.env["DSTACK_REPLICA_DISK_GB"] = "0.1"
    stopped_agent.start()
    other = neighbour(control)
    filler = f"head -c 150000000 /dev/zero > {where}/file && sleep 100"
    control.assign(other, workload(filler))

    report = control.wait_for(OWN, seconds=40, state=wire.EXITED)

    assert report.reason == wire.REASON_OVER_BOUND
    assert "more than the 102 MiB of disk that it may have, and was ended" in report.message
    after = control.seen("w0")
    assert after and after.ready
