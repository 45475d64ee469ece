from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from apps.agent.workloads import unpack
from apps.agent.workloads.executor import Cancelled
from apps.core.archive import contents

LIMIT = 1000


def member(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def symlink(name: str, target: str) -> tarfile.TarInfo:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def packed(folder: Path, *members: tarfile.TarInfo, data: bytes = b"") -> Path:
    """An archive whose regular files all hold `data`."""
    path = folder / "upload.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for one in members:
            if one.isreg():
                one.size = len(data)
            tar.addfile(one, io.BytesIO(data))
    return path


def unpacked(archive: Path, *, limit: int = LIMIT, times: dict[str, int] | None = None) -> Path:
    folder = archive.parent / "work"
    folder.mkdir()
    unpack.unpack(
        archive=archive, folder=folder, limit_bytes=limit, check=lambda: None, times=times
    )
    return folder


AT = 1_600_000_000


@pytest.mark.parametrize(
    ("given", "time"),
    [
        (AT, AT),
        (AT + 0.5, AT),
        (0, unpack.EARLIEST),
        (-1, unpack.EARLIEST),
        (2**33, unpack.LATEST),
        (float("nan"), unpack.EARLIEST),
        (float("inf"), unpack.LATEST),
    ],
)
def test_keeps_times_that_a_zip_can_hold(tmp_path: Path, given: float, time: int) -> None:
    folder, link = member("a", type=tarfile.DIRTYPE, mode=0o755), symlink("a/l", "b.txt")
    file = member("a/b.txt")
    for one in (folder, file, link):
        # What a header of numbers cannot hold stands in one of text.
        one.mtime, one.pax_headers = 0, {"mtime": str(given)}
    archive = packed(tmp_path, folder, file, link, data=b"text")

    found = unpacked(archive)

    for path in ("a", "a/b.txt", "a/l"):
        assert (found / path).lstat().st_mtime == time
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.write(found / "a/b.txt")


def test_takes_times_that_differ_from_the_archive(tmp_path: Path) -> None:
    names = [member(name, mtime=AT) for name in ("./a/b.txt", "c.txt")]
    archive = packed(tmp_path, *names, data=b"text")

    found = unpacked(archive, times={"a/b.txt": AT + 60})

    assert (found / "a/b.txt").stat().st_mtime == AT + 60
    assert (found / "c.txt").stat().st_mtime == AT


def test_takes_one_time_for_all_others(tmp_path: Path) -> None:
    names = [member(name, mtime=AT) for name in ("a/b.txt", "c.txt")]
    archive = packed(tmp_path, *names, data=b"text")

    found = unpacked(archive, times={"a/b.txt": AT + 60, "": 5})

    assert (found / "a/b.txt").stat().st_mtime == AT + 60
    assert (found / "c.txt").stat().st_mtime == unpack.EARLIEST


def test_its_bounds_are_those_of_who_packs() -> None:
    assert (unpack.EARLIEST, unpack.LATEST) == (contents.EARLIEST, contents.LATEST)


def test_unpacks_files_folders_and_links(tmp_path: Path) -> None:
    names = [member("./a/b.txt", mode=0o755), member("c.txt"), symlink("a/l", "../c.txt")]
    archive = packed(tmp_path, *names, hard_link("d.txt", "c.txt"), data=b"text")

    folder = unpacked(archive)

    assert (folder / "a/b.txt").read_bytes() == b"text"
    assert os.access(folder / "a/b.txt", os.X_OK)
    assert (folder / "a/l").read_bytes() == b"text"
    assert (folder / "d.txt").samefile(folder / "c.txt")


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil")],
        [member("a/../../evil")],
        [member("/etc/evil")],
        [symlink("l", "/etc/passwd")],
        [symlink("l", "..")],
        [symlink("a/l", "../../x")],
        # Links through links: the text of the second stays inside, what it leads to does not.
        [symlink("a/b/c/d", "../../.."), symlink("x", "a/b/c/d/../..")],
        [symlink("x", "a/b/c/d/../.."), symlink("a/b/c/d", "../../..")],
        [hard_link("l", "../../etc/passwd")],
        [hard_link("l", "missing")],
        [member("dev", type=tarfile.CHRTYPE)],
        [member("pipe", type=tarfile.FIFOTYPE)],
        [member(".")],
        [symlink("same", "a"), symlink("same", "b")],
    ],
    ids=lambda members: " ".join(f"{m.name}->{m.linkname}" for m in members),
)
def test_refuses_what_leads_out(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    archive = packed(tmp_path, *members)

    with pytest.raises(unpack.Refused):
        unpacked(archive)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["upload.tar.gz", "work"]


def test_never_writes_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = packed(tmp_path, symlink("l", "work"), member("l/evil"), data=b"evil")

    with pytest.raises(unpack.Refused):
        unpacked(archive)

    assert list(outside.iterdir()) == []


def test_takes_the_rights_of_other_users_away(tmp_path: Path) -> None:
    archive = packed(tmp_path, member("a", mode=0o6777))

    assert (unpacked(archive) / "a").stat().st_mode & 0o7777 == 0o755


def test_stops_at_four_times_the_limit(tmp_path: Path) -> None:
    archive = packed(tmp_path, member("a"), member("b"), data=b"0" * 2100)

    with pytest.raises(unpack.Refused, match="unpacks to more than 4000 bytes"):
        unpacked(archive)


def test_stops_at_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MAX_ENTRIES", 3)
    archive = packed(tmp_path, *[member(f"f{n}") for n in range(4)])

    with pytest.raises(unpack.Refused, match="more than 3 files"):
        unpacked(archive)


def test_refuses_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    header = member("a", type=tarfile.GNUTYPE_LONGNAME, size=2**30).tobuf(tarfile.GNU_FORMAT)
    archive = tmp_path / "upload.tar.gz"
    archive.write_bytes(gzip.compress(header + b"\0" * 10240))

    with pytest.raises(unpack.Refused, match="a header is too long"):
        unpacked(archive)


def test_refuses_an_endless_chain_of_headers(tmp_path: Path) -> None:
    header = member("a", type=tarfile.XHDTYPE, size=0).tobuf(tarfile.PAX_FORMAT)
    archive = tmp_path / "upload.tar.gz"
    archive.write_bytes(gzip.compress(header * 5000))

    with pytest.raises(unpack.Refused):
        unpacked(archive)


@pytest.mark.parametrize("data", [b"", b"no archive", gzip.compress(b"no tar" * 200, mtime=0)])
def test_refuses_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    archive = tmp_path / "upload.tar.gz"
    archive.write_bytes(data)

    with pytest.raises(unpack.Refused, match="not a sound tar.gz archive"):
        unpacked(archive)


def test_refuses_an_archive_that_was_cut_off(tmp_path: Path) -> None:
    archive = packed(tmp_path, member("a"), data=os.urandom(3000))
    archive.write_bytes(archive.read_bytes()[:-500])

    with pytest.raises(unpack.Refused):
        unpacked(archive)


def test_ends_when_it_is_told_to(tmp_path: Path) -> None:
    archive = packed(tmp_path, member("a"))
    folder = tmp_path / "work"
    folder.mkdir()

    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        unpack.unpack(archive=archive, folder=folder, limit_bytes=LIMIT, check=check)
