"""Files replaced in one step, by the one function that each runtime has for it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.agent import atomic_write as agent
from apps.core.stores import atomic_write as core
from gateway import atomic_write as gateway

Write = Callable[[Path, str], None]
MODULES = [agent, core, gateway]
WRITES = [pytest.param(each.write_text, id=each.__name__) for each in MODULES]
SYNCED = {core.__name__: 1, agent.__name__: 0, gateway.__name__: 0}
# The write is killed at its last step but one: everything is written, nothing has its name yet.
KILLED = """
import os, pathlib, signal, sys
from {module} import write_text
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_text(pathlib.Path(sys.argv[1]), "new")
"""


@pytest.mark.parametrize("write", WRITES)
def test_replaces_what_was_there(tmp_path: Path, write: Write) -> None:
    file = tmp_path / "a.json"
    file.write_text("a longer text than the new one")

    write(file, "né")

    assert file.read_text() == "né"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("write", WRITES)
def test_lets_nobody_else_read(tmp_path: Path, write: Write, umask: int) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    file.chmod(0o644)

    before = os.umask(umask)
    try:
        write(file, "new")
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
@pytest.mark.parametrize("replaced", [agent.replaced, core.replaced])
def test_gives_the_mode_that_is_asked_for(tmp_path: Path, replaced: Any, mode: int) -> None:
    file = tmp_path / "a"

    with replaced(file, mode=mode) as new:
        new.write(b"new")

    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_leaves_the_old_file_when_it_is_killed_half_way(tmp_path: Path, module: Any) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    code = KILLED.format(module=module.__name__)

    done = subprocess.run([sys.executable, "-c", code, str(file)], timeout=60, check=False)

    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == "old"


@pytest.mark.parametrize("write", WRITES)
def test_goes_on_after_a_write_that_was_killed(tmp_path: Path, write: Write) -> None:
    for leftover in ("a.json.part", "a.json.new"):
        (tmp_path / leftover).write_text("a longer text than the new one")

    write(tmp_path / "a.json", "new")

    assert (tmp_path / "a.json").read_text() == "new"


@pytest.mark.parametrize("replaced", [agent.replaced, core.replaced])
def test_leaves_the_old_file_after_an_error(tmp_path: Path, replaced: Any) -> None:
    file = tmp_path / "a"
    file.write_text("old")

    with pytest.raises(ZeroDivisionError), replaced(file) as new:
        new.write(b"half")
        raise ZeroDivisionError

    assert file.read_text() == "old"


def test_the_server_leaves_nothing_behind_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), core.replaced(tmp_path / "a"):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_syncs_what_nobody_else_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    module.write_text(tmp_path / "a", "new")

    assert len(synced) == SYNCED[module.__name__]


def test_a_killed_backup_is_not_kept_for_ever(tmp_path: Path) -> None:
    file, other = tmp_path / "backup.tar.gz", tmp_path / ".backup.tar.gz.mine"
    old, being_written = (tmp_path / f".backup.tar.gz.{pid}.7" for pid in (1, 2))
    for each in (old, being_written, other):
        each.write_text("secret")
    for each in (old, other):
        os.utime(each, (0, 0))

    core.write_text(file, "new")

    assert set(tmp_path.iterdir()) == {file, being_written, other}
