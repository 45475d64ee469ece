from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent import wire
from apps.agent.host import disk

MIB = 2**20


def spec(**fields: object) -> wire.WorkloadSpec:
    return wire.from_json(wire.WorkloadSpec, {"id": "w", "name": "w", **fields})


def fill(folder: Path, *, folders: int = 1, files: int = 1, size: int = MIB) -> Path:
    for number in range(folders):
        below = folder / str(number)
        below.mkdir(parents=True, exist_ok=True)
        for file in range(files):
            (below / str(file)).write_bytes(b"x" * size)
    return folder


def test_counts_what_a_folder_takes_and_follows_no_link(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "link").symlink_to("/usr")
    folder = disk.Folder(tmp_path, limit=None)

    folder.look(0.0)

    assert folder.size is not None
    assert MIB <= folder.size < 2 * MIB
    assert folder.over == ""


def test_goes_through_many_files_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, folders=5, size=4096)
    clock = iter(range(10**6))
    # Each look at the clock takes a second: a piece is one folder.
    monkeypatch.setattr("apps.agent.host.disk.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(disk, "PIECE_SECONDS", 1.5)
    folder = disk.Folder(tmp_path, limit=None)
    sizes = []

    for _ in range(7):
        folder.look(0.0)
        sizes.append(folder.size)

    assert sizes[:5] == [None] * 5
    assert sizes[-1] is not None
    assert sizes[-1] >= 5 * 4096


def test_needs_not_finish_to_see_that_it_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, folders=5)
    clock = iter(range(10**6))
    monkeypatch.setattr("apps.agent.host.disk.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(disk, "PIECE_SECONDS", 3.5)
    folder = disk.Folder(tmp_path, limit=MIB)

    folder.look(0.0)

    assert "of disk that it may have, and was ended" in folder.over


@pytest.mark.parametrize(
    ("at", "lost_mib", "looks"),
    [(10.0, 0, False), (61.0, 0, True), (10.0, 20, False), (10.0, 30, True)],
)
def test_looks_again_after_a_minute_or_when_the_disk_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: float, lost_mib: int, looks: bool
) -> None:
    free = [1000 * MIB]
    monkeypatch.setattr(disk.Folder, "_free_now", lambda self: free[0])
    folder = disk.Folder(tmp_path, limit=100 * MIB)
    folder.look(0.0)
    before = folder.size
    fill(tmp_path)
    free[0] -= lost_mib * MIB

    folder.look(at)

    assert (folder.size != before) is looks


@pytest.mark.parametrize(
    ("setting", "fields", "expected"),
    [
        ("", {"executor": "docker"}, None),
        ("5", {"executor": "docker", "disk_limit_mib": 7}, None),
        ("5", {}, 5 * 2**30),
        ("0.5", {}, 2**29),
        ("5", {"disk_limit_mib": 7}, 7 * MIB),
    ],
)
def test_a_bound_is_what_the_file_says_or_the_setting(
    tmp_path: Path, setting: str, fields: dict[str, object], expected: int | None
) -> None:
    assert disk.bound(spec(**fields), tmp_path, setting=setting) == expected


@pytest.mark.parametrize("setting", ["", "-1", "0", "many", "nan", "inf", "1e400", "٣x"])
def test_without_a_usable_setting_it_is_half_of_the_disk(tmp_path: Path, setting: str) -> None:
    half = disk.bound(spec(), tmp_path, setting="")

    assert half is not None
    assert half > 0
    assert disk.bound(spec(), tmp_path, setting=setting) == half
