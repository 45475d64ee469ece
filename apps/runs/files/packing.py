"""Files that a browser sends (zip, tar, tar.gz), packed again as the one tar.gz that agents unpack.

Files and folders keep their times; owners are dropped, names sorted. Nobody has checked what comes:
names that lead out, links, devices and bombs are refused here, and once more by the agent.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Protocol

from django.conf import settings

from apps.core.archive import contents
from apps.core.errors import Invalid, TooLarge
from apps.core.stores import disk
from apps.runs.files import choosing, zip_times

CHUNK = 256 * 1024
MOST_FILES = 20_000
# Before what stays out is taken away: a folder of packages has very many.
MOST_LISTED = 200_000
MOST_RULES_BYTES = 256 * 1024
TIMES_LIMIT = 4
LONGEST_NAME = 1024
# Below this, the packed folder stays in memory.
SPOOL_BYTES = 8 * 2**20
BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, ValueError, OSError)
UNSUPPORTED = (NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive; `name` as it stands there."""

    name: str
    time: float
    executable: bool = False
    is_folder: bool = False


class Source(Protocol):
    """An archive that is open for reading."""

    def members(self) -> Iterator[Member]: ...

    def open(self, name: str) -> IO[bytes]: ...


@dataclass(frozen=True)
class Packed:
    """`file` is the tar.gz, from its begin; `top` the names at its top, folders with a slash;
    `left_out` the paths that stay out of every upload."""

    file: IO[bytes]
    files: int
    size_bytes: int
    top: list[str]
    left_out: list[str]

    def chunks(self) -> Iterator[bytes]:
        while chunk := self.file.read(CHUNK):
            yield chunk


@contextmanager
def packed(*, archive: IO[bytes]) -> Iterator[Packed]:
    """Pack the files of an archive again. Raise Invalid and TooLarge."""
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
        yield _repack(archive, file)


def _repack(archive: IO[bytes], to: IO[bytes]) -> Packed:
    try:
        with _opened(archive) as source:
            return _pack(source, to)
    except BROKEN as error:
        if disk.refusal(error):
            raise
        raise Invalid("The files cannot be read: send a sound zip, tar or tar.gz.") from error
    except UNSUPPORTED as error:
        raise Invalid("The zip is encrypted or packed in an unusual way: pack it again.") from error


@contextmanager
def _opened(archive: IO[bytes]) -> Iterator[Source]:
    archive.seek(0)
    if zipfile.is_zipfile(archive):
        archive.seek(0)
        with zipfile.ZipFile(archive) as opened:
            yield _Zip(opened)
        return
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r:*") as tar:
        yield _Tar(tar)


def _pack(source: Source, to: IO[bytes]) -> Packed:
    found = _members(source)
    rules = choosing.rule_files(name for name, member in found.items() if not member.is_folder)
    choice = choosing.Choice({folder: _text(source, found[path]) for folder, path in rules.items()})
    members = {
        name: member
        for name, member in found.items()
        if choice.keeps(name, is_folder=member.is_folder)
    }
    if len(members) > MOST_FILES:
        raise TooLarge(f"These are more than {MOST_FILES:,} files: use the CLI.")
    files = [name for name, member in members.items() if not member.is_folder]
    if not files:
        raise Invalid("There is no file in it.")
    _write(to, source, members)
    size_bytes = to.tell()
    to.seek(0)
    return Packed(to, len(files), size_bytes, _top(files), sorted(choice.left_out))


def _members(source: Source) -> dict[str, Member]:
    members: dict[str, Member] = {}
    for member in source.members():
        # `tar -C folder .` begins with the folder itself.
        if member.is_folder and not PurePosixPath(member.name).parts:
            continue
        members[_clean(member.name)] = member
        if len(members) > MOST_LISTED:
            raise TooLarge(f"These are more than {MOST_LISTED:,} files: use the CLI.")
    return members


def _text(source: Source, member: Member) -> bytes:
    with source.open(member.name) as content:
        return content.read(MOST_RULES_BYTES)


def _write(file: IO[bytes], source: Source, members: dict[str, Member]) -> None:
    left = settings.DSTACK_UPLOAD_LIMIT_MB * TIMES_LIMIT * 2**20
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for clean, member in sorted(members.items()):
            info = tarfile.TarInfo(clean)
            info.mtime = contents.kept_time(member.time)
            info.mode = 0o755 if member.executable or member.is_folder else 0o644
            if member.is_folder:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
                continue
            with (
                source.open(member.name) as content,
                tempfile.SpooledTemporaryFile(SPOOL_BYTES) as body,
            ):
                left -= _copy(content, body, left)
                info.size = body.tell()
                body.seek(0)
                tar.addfile(info, body)


def _copy(source: IO[bytes], to: IO[bytes], most: int) -> int:
    copied = 0
    while chunk := source.read(CHUNK):
        copied += len(chunk)
        if copied > most:
            limit = settings.DSTACK_UPLOAD_LIMIT_MB
            raise TooLarge(f"Unpacked, the files are far larger than the limit of {limit} MB.")
        to.write(chunk)
    return copied


def _clean(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    odd = not name.isprintable() or len(name) > LONGEST_NAME
    if odd or path.is_absolute() or ".." in path.parts or path.parts[:1] == ("~",):
        raise Invalid(f"The file name {name[:80]!r} leads out of the folder.")
    if not path.parts or path.parts[0].endswith(":"):
        raise Invalid(f"The file name {name[:80]!r} cannot be used.")
    return str(path)


def _top(names: Iterable[str]) -> list[str]:
    paths = [PurePosixPath(name) for name in names]
    return sorted({f"{p.parts[0]}/" if len(p.parts) > 1 else p.parts[0] for p in paths})


def _refuse_link(name: str) -> None:
    raise Invalid(f"{name[:80]!r} is a link or a device: send plain files, or use the CLI.")


@dataclass(frozen=True)
class _Zip:
    archive: zipfile.ZipFile

    def members(self) -> Iterator[Member]:
        for info in self.archive.infolist():
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                _refuse_link(info.filename)
            name, time = info.filename, zip_times.time_of(info)
            yield Member(name, time, bool(mode & 0o100), is_folder=info.is_dir())

    def open(self, name: str) -> IO[bytes]:
        return self.archive.open(name)


@dataclass(frozen=True)
class _Tar:
    archive: tarfile.TarFile

    def members(self) -> Iterator[Member]:
        for info in self.archive:
            if not (info.isreg() or info.isdir()):
                _refuse_link(info.name)
            executable = bool(info.mode & 0o100)
            yield Member(info.name, info.mtime, executable, is_folder=info.isdir())

    def open(self, name: str) -> IO[bytes]:
        found = self.archive.extractfile(name)
        if found is None:
            raise tarfile.ReadError(name)
        return found
