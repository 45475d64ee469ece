from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.host import files, trees
from apps.agent.processes.process import command, environment, working_dir
from apps.agent.workloads import executor
from apps.agent.workloads.executor import PrepareFailed


def spec(**fields: Any) -> wire.WorkloadSpec:
    return wire.WorkloadSpec(**{"id": "w", "name": "w", **fields})


@pytest.mark.parametrize(
    "fields", [{}, {"entrypoint": ""}, {"entrypoint": "'"}, {"commands": ["a\0b"]}]
)
def test_refuses_a_command_that_cannot_run(fields: dict[str, Any]) -> None:
    with pytest.raises(PrepareFailed):
        command(spec(**fields))


@pytest.mark.parametrize(
    ("wanted", "expected"), [(None, ""), ("sub", "/sub"), ("./sub/../sub", "/sub"), (".", "")]
)
def test_finds_the_working_folder(tmp_path: Path, wanted: str | None, expected: str) -> None:
    (tmp_path / "sub").mkdir()

    assert working_dir(spec(working_dir=wanted), tmp_path) == f"{tmp_path}{expected}"


def test_takes_a_folder_of_the_host(tmp_path: Path) -> None:
    assert working_dir(spec(working_dir="/usr"), tmp_path) == "/usr"


@pytest.mark.parametrize("wanted", ["..", "sub/../..", "missing", "/no/such/folder", "a\0b"])
def test_refuses_a_working_folder_that_is_none(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(PrepareFailed, match="working_dir"):
        working_dir(spec(working_dir=wanted), tmp_path)


def test_adds_what_only_the_host_knows(tmp_path: Path) -> None:
    given = spec(env={"LANG": "de", "PORT": "1", "PATH": "/opt/bin"}, gpu_indices=[1, 3])

    env = environment(given, work=tmp_path / "work", venv=tmp_path / "venv", port=20001)

    assert env == {
        "CUDA_VISIBLE_DEVICES": "1,3",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "HOME": str(tmp_path / "work"),
        "LANG": "de",
        "PATH": f"{tmp_path / 'venv/bin'}:/opt/bin",
        "PORT": "20001",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize("value", ["", "0", "x"])
def test_leaves_the_persons_own_buffering(tmp_path: Path, value: str) -> None:
    given = spec(env={"PYTHONUNBUFFERED": value})

    env = environment(given, work=tmp_path, venv=tmp_path, port=1)

    assert env["PYTHONUNBUFFERED"] == value


@pytest.mark.parametrize("env", [{"": "a"}, {"A=B": "c"}, {"A": "\0"}, {"A\0": "b"}])
def test_refuses_variables_that_no_process_can_have(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(PrepareFailed):
        environment(spec(env=env), work=tmp_path, venv=tmp_path, port=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (-5, "0.0 s"),
        (0.34, "0.3 s"),
        (42.4, "42 s"),
        (300, "5 min"),
        (11520, "3.2 h"),
    ],
)
def test_writes_a_duration_as_a_person_says_it(seconds: float, text: str) -> None:
    assert executor.duration(seconds) == text


CHILD_BEFORE = (
    "; before that, one of its processes was killed because it used more than its 64 MiB of memory"
)


@pytest.mark.parametrize(
    ("code", "signal", "out_of_memory", "reason", "text"),
    [
        (1, None, False, wire.REASON_EXITED, "exited with code 1 after 2.0 s"),
        (
            127,
            None,
            False,
            wire.REASON_EXITED,
            "exited with code 127 after 2.0 s: command not found (its log says which one; "
            "is it installed, and on PATH?)",
        ),
        (
            126,
            None,
            False,
            wire.REASON_EXITED,
            "exited with code 126 after 2.0 s: a command was found but cannot be run (is it "
            "executable, and for this processor?)",
        ),
        (137, 9, False, wire.REASON_EXITED, f"killed by signal 9 after 2.0 s{executor.BY_WHOM}"),
        # A child was killed for its memory, and the program ended otherwise later.
        (143, 15, True, wire.REASON_EXITED, f"killed by signal 15 after 2.0 s{CHILD_BEFORE}"),
        (1, None, True, wire.REASON_EXITED, f"exited with code 1 after 2.0 s{CHILD_BEFORE}"),
        (0, None, True, wire.REASON_EXITED, f"exited with code 0 after 2.0 s{CHILD_BEFORE}"),
        (
            137,
            None,
            True,
            wire.REASON_OUT_OF_MEMORY,
            "killed after 2.0 s: it used more than its 64 MiB of memory",
        ),
        (139, 11, False, wire.REASON_EXITED, "killed by signal 11 after 2.0 s"),
        (
            137,
            9,
            True,
            wire.REASON_OUT_OF_MEMORY,
            "killed after 2.0 s: it used more than its 64 MiB of memory",
        ),
    ],
)
def test_says_how_it_ended(
    code: int, signal: int | None, out_of_memory: bool, reason: str, text: str
) -> None:
    said = executor.how_it_ended(
        code=code, signal=signal, seconds=2, out_of_memory=out_of_memory, memory_limit_mib=64
    )

    assert said == (reason, text)


def test_replaces_a_file_at_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    files.write_json(path, {"a": "é"})

    assert files.read_json(path) == {"a": "é"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "[1]", "{", "null"])
def test_takes_a_broken_file_for_a_missing_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)

    assert files.read_json(tmp_path / "a.json") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000000Z"), (1.9999999, "1970-01-01T00:00:02.000000Z")],
)
def test_writes_times_in_utc(seconds: float, text: str) -> None:
    assert files.rfc3339(seconds) == text


def test_removes_a_tree_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "locked/deep").mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    (tree / "locked").chmod(0)

    trees.remove(tree)
    trees.remove(tree)

    assert not tree.exists()
    assert (outside / "file").read_text() == "kept"


def test_removes_a_tree_that_is_deeper_than_python_goes(tmp_path: Path) -> None:
    """Who makes one would else keep the disk, and everybody's model files from being removed."""
    tree = tmp_path / "tree"
    tree.mkdir()
    at = os.open(tree, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 20, dir_fd=at)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)

    try:
        trees.remove(tree)
        assert not tree.exists()
    finally:
        # Nor does pytest, which would fail at its end.
        subprocess.run(["rm", "-rf", str(tree)], check=True)
