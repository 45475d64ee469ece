from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from typing import Any

import pytest

from apps.core.archive import contents as contents_of
from apps.core.errors import Invalid, TooLarge
from apps.runs.files import packing


def zipped(files: dict[str, bytes], **attributes: int) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = attributes.get("mode", 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return buffer


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: Any = "w") -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer


def plain(name: str, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime, info.uid = mode, 12345, 1000
    return info


def tarred_all(files: dict[str, bytes]) -> io.BytesIO:
    return tarred(*((plain(name), content) for name, content in files.items()))


def repacked(archive: io.BytesIO) -> bytes:
    with packing.packed(archive=archive) as packed:
        return packed.file.read()


def contents(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in archive}


FILES = {"app.py": b"print(1)", "lib/a.txt": b"a" * 3000}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_takes_a_tar_as_it_takes_a_zip(mode: str) -> None:
    tar = tarred(*((plain(name), content) for name, content in FILES.items()), mode=mode)

    assert contents(repacked(tar)) == contents(repacked(zipped(FILES))) == FILES


def test_the_same_files_give_the_same_bytes() -> None:
    other_way_round = dict(reversed(list(FILES.items())))

    assert repacked(zipped(FILES)) == repacked(zipped(other_way_round))


def test_keeps_what_can_be_run() -> None:
    packed = repacked(tarred((plain("run.sh", mode=0o755), b"")))

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getmember("run.sh").mode == 0o755


def times(packed: bytes) -> dict[str, int]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        return {member.name: int(member.mtime) for member in archive}


AT = 1_600_000_000
UT = struct.pack("<HHBi", 0x5455, 5, 1, AT)


@pytest.mark.parametrize(
    ("date_time", "extra", "time"),
    [
        ((2020, 9, 13, 12, 26, 40), b"", AT),
        ((2021, 1, 1, 0, 0, 0), UT, AT),
        ((2021, 1, 1, 0, 0, 0), struct.pack("<HHH", 0x7875, 2, 1) + UT, AT),
        ((2020, 9, 13, 12, 26, 40), struct.pack("<HHBi", 0x5455, 5, 2, 1), AT),
        ((1980, 1, 1, 0, 0, 0), b"", contents_of.EARLIEST),
        ((1980, 0, 0, 0, 0, 0), b"", contents_of.EARLIEST),
        ((2021, 1, 1, 0, 0, 0), struct.pack("<HHBi", 0x5455, 5, 1, -1), contents_of.EARLIEST),
        ((2107, 12, 31, 23, 59, 58), b"", contents_of.LATEST),
    ],
)
def test_keeps_the_times_of_a_zip(date_time: Any, extra: bytes, time: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("lib/", "lib/a.txt"):
            info = zipfile.ZipInfo(name, max(date_time, (1980, 1, 1, 0, 0, 0)))
            info.extra = extra
            info.date_time = date_time
            archive.writestr(info, b"" if name.endswith("/") else b"x")

    assert times(repacked(buffer)) == {"lib": time, "lib/a.txt": time}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize(
    ("given", "time"),
    [(AT, AT), (0, contents_of.EARLIEST), (-5, contents_of.EARLIEST), (2**33, contents_of.LATEST)],
)
def test_keeps_the_times_of_a_tar(mode: str, given: int, time: int) -> None:
    folder, file, top = plain("lib", 0o755), plain("lib/a.txt"), plain(".", 0o755)
    folder.type = top.type = tarfile.DIRTYPE
    for info in (folder, file):
        info.mtime = given

    packed = repacked(tarred((top, b""), (folder, b""), (file, b"x"), mode=mode))

    assert times(packed) == {"lib": time, "lib/a.txt": time}


@pytest.mark.parametrize(
    ("files", "names", "left_out"),
    [
        ({"a.py": b"", "venv/x": b"", "w/node_modules/y": b""}, ["a.py"],
         ["venv", "w/node_modules"]),
        ({"a.py": b"", "bin/venv": b""}, ["a.py", "bin/venv"], []),
        ({"venv/x": b"", ".dstackignore": b"!venv/\n"}, [".dstackignore", "venv/x"], []),
        ({"app/venv/x": b"", "app/.dstackignore": b"!/venv"},
         ["app/.dstackignore", "app/venv/x"], []),
        ({"venv/x": b"", "a": b"", "app/.dstackignore": b"!venv"}, ["a", "app/.dstackignore"],
         ["venv"]),
        ({"a.log": b"", "b/c.log": b"", "d": b"", ".dstackignore": b"*.log"},
         [".dstackignore", "d"], []),
        ({"data/a": b"", "data/keep": b"", ".dstackignore": b"data/\n!data/keep"},
         [".dstackignore"], []),
        # What git leaves out may be just what somebody packs.
        ({"dist/x": b"", ".gitignore": b"dist/"}, [".gitignore", "dist/x"], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "kind", [zipped, lambda files: tarred(*((plain(n), c) for n, c in files.items()))]
)
def test_packs_what_the_command_line_packs(
    kind: Any, files: dict[str, bytes], names: list[str], left_out: list[str]
) -> None:
    with packing.packed(archive=kind(files)) as packed:
        assert packed.left_out == left_out
        assert sorted(contents(packed.file.read())) == names


def test_counts_only_what_it_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_FILES", 3)
    many = {f"node_modules/{n}.js": b"" for n in range(50)}

    assert list(contents(repacked(zipped({**many, "a": b""})))) == ["a"]
    with pytest.raises(TooLarge):
        repacked(zipped({f"{n}.js": b"" for n in range(4)}))
    with pytest.raises(Invalid, match="no file"):
        repacked(zipped(many))


def test_says_what_is_at_the_top() -> None:
    with packing.packed(archive=zipped(FILES)) as packed:
        assert (packed.files, packed.top) == (2, ["app.py", "lib/"])


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "..\\x", "C:/x", "~/x", "a\x07b", "x" * 2000]
)
def test_refuses_a_name_that_leads_out(name: str) -> None:
    with pytest.raises(Invalid):
        repacked(zipped({name: b""}))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_refuses_links_and_devices(kind: bytes) -> None:
    info = plain("x")
    info.type, info.linkname = kind, "/etc/passwd"

    with pytest.raises(Invalid, match="link or a device"):
        repacked(tarred((info, b"")))


def test_refuses_a_link_in_a_zip() -> None:
    with pytest.raises(Invalid, match="link or a device"):
        repacked(zipped({"x": b"/etc/passwd"}, mode=0o120777))


def test_refuses_a_bomb(settings: Any) -> None:
    settings.DSTACK_UPLOAD_LIMIT_MB = 1
    bomb = zipped({"zeros": b"\0" * (packing.TIMES_LIMIT * 2**20 + 1)})

    with pytest.raises(TooLarge):
        repacked(bomb)


@pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x03\x04junk", b"\x1f\x8b" + b"x" * 20])
def test_refuses_what_is_no_archive(junk: bytes) -> None:
    with pytest.raises(Invalid):
        repacked(io.BytesIO(junk))


def test_refuses_an_empty_archive() -> None:
    with pytest.raises(Invalid, match="no file"):
        repacked(zipped({}))


def test_refuses_an_archive_that_ends_early() -> None:
    whole = tarred((plain("big"), b"x" * 100_000), mode="w:gz").getvalue()

    with pytest.raises(Invalid):
        repacked(io.BytesIO(whole[: len(whole) // 2]))
