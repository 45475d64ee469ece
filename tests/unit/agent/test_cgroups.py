"""Control groups of both versions, on plain folders that stand for the kernel's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from apps.agent.isolation import cgroups
from apps.agent.isolation.cgroups import Bounds

WANTED = Bounds(memory_mib=64, processes=100, cpus=1.5)


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    return tmp_path


@pytest.fixture
def version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "_own_group", lambda root, controller: root / controller)
    for controller in ("memory", "pids", "cpu"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    return tmp_path


def said(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_writes_the_bounds_of_version_2(version_2: Path) -> None:
    (folder,) = cgroups.create(name="w1", bounds=WANTED, root=version_2)

    assert folder == version_2 / "dstack-agent" / "dstack-w1"
    assert said(folder) == {
        "memory.max": str(64 << 20),
        "pids.max": "100",
        "cpu.max": "150000 100000",
    }
    assert (version_2 / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    shared = cgroups.shared_memory_mib() << 20
    assert (folder.parent / "memory.max").read_text() == str(shared)


def test_writes_the_bounds_of_version_1(version_1: Path) -> None:
    found = cgroups.create(name="w1", bounds=WANTED, root=version_1)

    assert {folder.parent.parent.name: said(folder) for folder in found} == {
        "memory": {"memory.limit_in_bytes": str(64 << 20)},
        "pids": {"pids.max": "100"},
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
    }


def test_asks_no_controller_that_it_does_not_need(version_2: Path) -> None:
    cgroups.create(name="w1", bounds=WANTED._replace(cpus=None), root=version_2)

    assert (version_2 / "cgroup.subtree_control").read_text() == "+memory +pids"


@pytest.mark.parametrize("gone", ["memory", "pids"])
def test_says_which_controller_is_missing(version_1: Path, gone: str) -> None:
    (version_1 / gone / "cgroup.procs").unlink()

    with pytest.raises(cgroups.Unavailable, match=f"no such controller .*{gone}"):
        cgroups.create(name="w1", bounds=WANTED, root=version_1)


def test_outlives_that_another_agent_removes_the_parent(
    version_1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = cgroups._prepare_v1
    removed: list[Path] = []

    def and_lose_it_once(group: cgroups._Group) -> None:
        prepare(group)
        if not removed:
            removed.append(group.folder.parent)
            shutil.rmtree(group.folder.parent)

    monkeypatch.setattr(cgroups, "_prepare_v1", and_lose_it_once)

    found = cgroups.create(name="w1", bounds=WANTED, root=version_1)

    assert removed
    assert all(folder.is_dir() for folder in found)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ""),
        ({"memory.events": "oom 0\noom_kill 0\n"}, ""),
        ({"memory.events": "oom 2\noom_kill 1\n", "memory.max": "100\n"}, cgroups.OWN),
        ({"memory.events": "oom 0\noom_kill 1\n", "memory.max": "100\n"}, cgroups.OF_HOST),
        ({"memory.events": "oom_kill 1\n", "memory.max": "100\n", "memory.peak": "99\n"}, "own"),
        (
            {
                "memory.oom_control": "oom_kill_disable 0\noom_kill 1\n",
                "memory.limit_in_bytes": "100\n",
                "memory.max_usage_in_bytes": "50\n",
            },
            cgroups.OF_HOST,
        ),
    ],
)
def test_tells_whose_memory_ended(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert cgroups.out_of_memory([tmp_path]) == expected


@pytest.mark.parametrize(
    ("refused", "current", "most", "full"),
    [(0, 100, 100, False), (3, 100, 100, True), (3, 60, 100, True), (3, 4, 100, False)],
)
def test_is_full_only_by_its_own_bound(
    tmp_path: Path, refused: int, current: int, most: int, full: bool
) -> None:
    (tmp_path / "pids.events").write_text(f"max {refused}\n")
    (tmp_path / "pids.current").write_text(f"{current}\n")
    (tmp_path / "pids.max").write_text(f"{most}\n")

    assert cgroups.is_full_of_processes([tmp_path]) is full


def test_a_bound_is_no_large_part_of_a_small_host(tmp_path: Path) -> None:
    for name, value in (("pid_max", 8000), ("threads-max", 4000)):
        (tmp_path / name).write_text(f"{value}\n")

    assert cgroups.most_processes(kernel=tmp_path) == 1000
    assert cgroups.most_processes(kernel=tmp_path / "nothing") == cgroups.MOST_PROCESSES
