"""Which processes of an earlier run may be ended: only those that are surely its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_web.embedded import leftovers
from dstack_web.processes import ProcessId

BOOT = leftovers.BOOT_ID.read_text().strip()


@pytest.fixture
def sleeper() -> Iterator[ProcessId]:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    found = ProcessId.of(process.pid)
    assert found is not None
    yield found
    process.kill()
    process.wait()


def ended(process: ProcessId) -> bool:
    return not process.is_alive()


def test_ends_a_noted_process(sleeper: ProcessId, tmp_path: Path) -> None:
    leftovers.note(tmp_path / "children.json", {"one": sleeper})

    leftovers.end(tmp_path / "children.json")

    assert ended(sleeper)


def test_spares_a_process_that_only_has_the_same_pid(sleeper: ProcessId, tmp_path: Path) -> None:
    other = ProcessId(sleeper.pid, sleeper.started_ticks - 1)
    leftovers.note(tmp_path / "children.json", {"one": other})

    leftovers.end(tmp_path / "children.json")

    assert not ended(sleeper)


def test_spares_everything_after_a_restart_of_the_machine(
    sleeper: ProcessId, tmp_path: Path
) -> None:
    path = tmp_path / "children.json"
    leftovers.note(path, {"one": sleeper})
    path.write_text(path.read_text().replace(BOOT, "another-boot"))

    leftovers.end(path)

    assert not ended(sleeper)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"children": 1}', '{"boot_id": null}'])
def test_takes_a_broken_note_for_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "children.json"
    path.write_text(text)

    assert leftovers.end(path) == 0


def test_ends_the_haproxy_that_its_pid_file_names(sleeper: ProcessId, tmp_path: Path) -> None:
    path = tmp_path / "haproxy.pid"
    path.write_text(f"{sleeper.pid}\n{sleeper.started_ticks}\n{BOOT}\nfingerprint\n")

    leftovers.end_haproxy(path)

    assert ended(sleeper)


def test_spares_what_an_old_pid_file_names(sleeper: ProcessId, tmp_path: Path) -> None:
    path = tmp_path / "haproxy.pid"
    path.write_text(f"{sleeper.pid}\n{sleeper.started_ticks + 1}\n{BOOT}\nfingerprint\n")

    leftovers.end_haproxy(path)

    assert not ended(sleeper)
