from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.cli.errors import CliError
from apps.cli.upload import collecting
from apps.cli.upload.archive import Archive, pack
from apps.cli.upload.collecting import collect
from apps.core.archive import contents as packing
from apps.core.archive.ignore import DSTACKIGNORE, FILES, FOLDERS, GITIGNORE

LIMIT = 2**20


def packed(folder: Path, *, limit_bytes: int = LIMIT) -> bytes:
    file = io.BytesIO()
    pack(collect(folder), file, on_bytes=lambda amount: None, limit_bytes=limit_bytes)
    return file.getvalue()


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


def test_packs_folders_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.sh").write_text("echo hi")
    (tmp_path / "b" / "run.sh").chmod(0o740)
    (tmp_path / "a").symlink_to("b/run.sh")
    (tmp_path / "empty").mkdir(mode=0o700)

    found = [(m.name, m.type, oct(m.mode), m.linkname) for m in members(packed(tmp_path))]

    assert found == [
        ("a", tarfile.SYMTYPE, "0o755", "b/run.sh"),
        ("b", tarfile.DIRTYPE, "0o755", ""),
        ("b/run.sh", tarfile.REGTYPE, "0o755", ""),
        ("empty", tarfile.DIRTYPE, "0o755", ""),
    ]


def test_says_nothing_about_the_owner(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o600)

    (member,) = members(packed(tmp_path))

    assert (member.uid, member.gid, member.uname, member.mode) == (0, 0, "", 0o644)


@pytest.mark.parametrize(
    ("given", "time"),
    [(1_600_000_000.7, 1_600_000_000), (0, packing.EARLIEST), (5e9, packing.LATEST)],
)
def test_keeps_the_times_of_files_and_folders(tmp_path: Path, given: float, time: int) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a").write_text("x")
    (tmp_path / "l").symlink_to("b/a")
    for path in (tmp_path / "b" / "a", tmp_path / "l", tmp_path / "b"):
        os.utime(path, (given, given), follow_symlinks=False)

    assert {member.name: member.mtime for member in members(packed(tmp_path))} == {
        "b": time, "b/a": time, "l": time,
    }  # fmt: skip


def hashed(folder: Path) -> str:
    file = io.BytesIO()
    made = pack(collect(folder), file, on_bytes=lambda amount: None, limit_bytes=LIMIT)
    assert packing.hash_of(packing.read(file, most_bytes=LIMIT)) == made.hash
    return made.hash


def test_the_hash_is_of_the_contents_alone(tmp_path: Path) -> None:
    for name, time in (("one", 1_600_000_000), ("two", 1_700_000_000)):
        folder = tmp_path / name
        (folder / "empty").mkdir(parents=True)
        (folder / "日本 \udcff").write_text("x")
        (folder / "l").symlink_to("empty")
        os.utime(folder / "日本 \udcff", (time, time))
    one, two = tmp_path / "one", tmp_path / "two"
    same = hashed(one)

    assert hashed(two) == same
    (two / "日本 \udcff").write_text("y")
    assert hashed(two) != same
    (two / "日本 \udcff").write_text("x")
    (two / "日本 \udcff").chmod(0o755)
    assert hashed(two) != same
    (two / "日本 \udcff").chmod(0o644)
    assert hashed(two) == same
    (two / "empty").rmdir()
    assert hashed(two) != same


def test_knows_the_hash_and_size_of_what_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(300_000))
    file = io.BytesIO()
    read: list[int] = []

    archive = pack(collect(tmp_path), file, on_bytes=read.append, limit_bytes=LIMIT)

    data = file.getvalue()
    held = packing.read(io.BytesIO(data), most_bytes=LIMIT)
    assert archive == Archive(file, packing.hash_of(held), len(data))
    assert file.tell() == 0
    assert sum(read) == 300_000


# Words that stand in the code are tried too; names that mean something have tests of their own.
MEANINGFUL = (".", "..", GITIGNORE, DSTACKIGNORE, *FOLDERS, *FILES)
NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in MEANINGFUL)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=64), max_size=6
)


@settings(deadline=None, max_examples=60)
@given(tree=TREES)
def test_makes_the_same_hash_of_the_same_content(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, ...], bytes]
) -> None:
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    plant(first, tree)
    copy_backwards(first, second)

    assert hashed(first) == hashed(second)
    assert contents(packed(first)) == contents_on_disk(first)


def plant(root: Path, tree: dict[tuple[str, ...], bytes]) -> None:
    for parts, content in tree.items():
        path = root.joinpath(*parts)
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def copy_backwards(first: Path, second: Path) -> None:
    for name, content in sorted(contents_on_disk(first).items(), reverse=True):
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).write_bytes(content)
        os.utime(second / name, (1, 1))


def contents(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(member.name, tar.extractfile(member)) for member in tar if member.isreg()]
        return {name: file.read() for name, file in files if file}


def contents_on_disk(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_keeps_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).write_text("x")

    (member,) = members(packed(tmp_path))

    assert member.name == name


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", "..", "/"])
def test_refuses_links_that_leave_the_folder(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "link").symlink_to(target)

    with pytest.raises(CliError, match=r"Links lead out of the folder: link\..*\.dstackignore"):
        collect(folder)


def test_refuses_a_link_through_a_link_that_leaves(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path)
    (folder / "b").symlink_to("a/x")

    with pytest.raises(CliError, match="a, b"):
        collect(folder)


def test_packs_a_link_that_leaves_when_it_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / ".dstackignore").write_text("link")

    assert [entry.path for entry in collect(tmp_path).entries] == [".dstackignore"]


@pytest.mark.parametrize("target", ["missing", "link", "sub", ".", "sub/../sub/x"])
def test_keeps_links_that_stay_inside(tmp_path: Path, target: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").write_text("")
    (tmp_path / "link").symlink_to(target)

    link = next(entry for entry in collect(tmp_path).entries if entry.path == "link")

    assert (link.kind, link.target) == ("link", target)


def test_makes_an_absolute_link_into_the_folder_relative(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "x").write_text("")
    (tmp_path / "sub" / "link").symlink_to(tmp_path.resolve() / "x")

    link = next(entry for entry in collect(tmp_path).entries if entry.kind == "link")

    assert link.target == "../x"


def test_does_not_walk_into_linked_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to("..")

    assert [entry.path for entry in collect(tmp_path).entries] == ["sub", "sub/loop"]


def test_passes_over_pipes_and_sockets_with_a_warning(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock"))

        collection = collect(tmp_path)

    assert collection.entries == []
    assert sorted(collection.warnings) == [
        "pipe is left out of the upload: neither a file nor a folder.",
        "sock is left out of the upload: neither a file nor a folder.",
    ]


def test_passes_over_a_file_that_vanished(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    collection = collect(tmp_path)
    (tmp_path / "a").unlink()
    file = io.BytesIO()

    pack(collection, file, on_bytes=lambda amount: None, limit_bytes=LIMIT)

    assert [member.name for member in members(file.getvalue())] == ["b"]
    assert collection.warnings == ["a is left out of the upload: No such file or directory."]


def test_does_not_wait_for_a_file_that_became_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    collection = collect(tmp_path)
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "a")

    pack(collection, io.BytesIO(), on_bytes=lambda amount: None, limit_bytes=LIMIT)

    assert collection.warnings == ["a is left out of the upload: no longer a file."]


def test_packs_the_beginning_of_a_file_that_grows(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 1000)
    collection, file = collect(tmp_path), io.BytesIO()

    def grow(amount: int) -> None:
        with (tmp_path / "log").open("a") as log:
            log.write("more")

    pack(collection, file, on_bytes=grow, limit_bytes=LIMIT)

    assert members(file.getvalue())[0].size == 1000
    assert collection.warnings == ["log changed while it was packed."]


def test_stops_when_a_file_shrinks_under_its_hands(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(600_000))
    collection = collect(tmp_path)

    def shrink(amount: int) -> None:
        os.truncate(tmp_path / "data", 10)

    with pytest.raises(CliError, match="data became shorter while it was packed"):
        pack(collection, io.BytesIO(), on_bytes=shrink, limit_bytes=LIMIT)


def test_names_the_biggest_files_when_the_folder_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("x")
    (tmp_path / "big").write_bytes(os.urandom(20_000))

    with pytest.raises(CliError, match=r"too large to upload .* the limit is 10\.0 KB") as caught:
        packed(tmp_path, limit_bytes=10 * 1024)
    assert caught.value.notes[0].split() == ["19.5", "KB", "big"]


def test_refuses_what_would_be_too_large_when_unpacked(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(50_000))

    with pytest.raises(CliError, match="too large"):
        packed(tmp_path, limit_bytes=12_000)


def test_refuses_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_FILES", 3)
    for name in "abcd":
        (tmp_path / name).write_text("")

    with pytest.raises(CliError, match="more than 3 files"):
        collect(tmp_path)


def test_says_that_a_folder_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="does not exist"):
        collect(tmp_path / "none")
