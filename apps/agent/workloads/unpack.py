"""Unpacking an upload (tar.gz) that nobody has checked: nothing is written outside the folder.

Refused: absolute names, `..`, devices, pipes, sparse files, links that lead out, names below a
link, more than four times the upload limit, more than 100,000 entries. The checks are ours, because
Python 3.9 has none. Links are made last, so that nothing is ever written through one.
"""

from __future__ import annotations

import os
import stat
import tarfile
import typing
import zlib
from pathlib import Path

# 1980-01-02 and 2107-12-30: the first and the last day that a zip can hold in whatever zone.
EARLIEST, LATEST = 315_619_200, 4_354_646_400
MAX_ENTRIES = 100_000
TIMES_LIMIT = 4
CHUNK_BYTES = 256 * 1024
# A long name or its like comes as an entry of its own, which tarfile reads into memory.
MAX_HEADER_BYTES = 1024 * 1024
HEADER_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


# RecursionError: a long chain of headers that each announce the next one.
BROKEN = (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError)


def kept_time(seconds: float) -> int:
    """Return a time that every archive and zip can hold, the nearest to what was given."""
    if seconds != seconds:  # a float that is no number
        return EARLIEST
    return int(min(max(seconds, EARLIEST), LATEST))


class Refused(Exception):
    """The archive is broken or does what it must not; the text says what."""


def unpack(
    *,
    archive: Path,
    folder: Path,
    limit_bytes: int,
    check: typing.Callable[[], None],
    times: typing.Optional[dict[str, int]] = None,
) -> None:
    """Unpack the archive into the folder, which must exist and be empty.

    `limit_bytes` is the limit of the packed upload. `check` is called often; what it raises ends
    the work. `times` are those of files that do not have the archive's, by path; "" is all others.
    Raise Refused.
    """
    try:
        with tarfile.open(str(archive), "r:gz", tarinfo=_Header) as tar:
            _Unpacker(tar, folder, limit_bytes * TIMES_LIMIT, check, times or {}).run()
    except BROKEN as error:
        raise Refused(f"the upload is not a sound tar.gz archive: {error}") from error
    except OSError as error:
        raise Refused(f"the upload cannot be unpacked: {error.strerror or error}") from error


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: typing.Any, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in HEADER_TYPES and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        if header.size < 0:
            raise tarfile.ReadError("a size is negative")
        return header


class _Unpacker:
    def __init__(
        self,
        tar: tarfile.TarFile,
        folder: Path,
        max_bytes: int,
        check: typing.Callable[[], None],
        times: dict[str, int],
    ) -> None:
        self.tar = tar
        self.folder = folder
        self.max_bytes = max_bytes
        self.check = check
        self.bytes = 0
        self.entries = 0
        self.times = times
        self.links: list[tuple[Path, str, int]] = []
        self.folders: dict[Path, int] = {}

    def run(self) -> None:
        while True:
            member = self.tar.next()
            if member is None:
                break
            # tarfile remembers every entry, for looking up by name, which we never do.
            self.tar.members = []  # type: ignore[attr-defined]
            self._count(member)
            self._entry(member)
        for path, target, time in self.links:
            if path.exists() or path.is_symlink():
                raise Refused(f"the upload holds two things of one name: {path.name!r}")
            path.symlink_to(target)
            os.utime(str(path), (time, time), follow_symlinks=False)
        for path, _, _ in self.links:
            self._check_link(path)
        # What is made in a folder changes its time.
        for path, time in self.folders.items():
            os.utime(str(path), (time, time))

    def _count(self, member: tarfile.TarInfo) -> None:
        self.check()
        self.entries += 1
        self.bytes += max(member.size, 0)
        if self.entries > MAX_ENTRIES:
            raise Refused(f"the upload holds more than {MAX_ENTRIES} files")
        # Told by the header, so that skipping what is not written costs no time either.
        if self.bytes > self.max_bytes:
            raise Refused(f"the upload unpacks to more than {self.max_bytes} bytes")

    def _entry(self, member: tarfile.TarInfo) -> None:
        path = self._place(member.name)
        if member.isdir():
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.folders[path] = kept_time(member.mtime)
        elif member.issym():
            self._check_target(path, member.linkname)
            self._parents(path)
            self.links.append((path, member.linkname, kept_time(member.mtime)))
        elif member.islnk():
            self._parents(path)
            self._hard_link(path, self._place(member.linkname), member.name)
        elif member.isreg() and not member.issparse():
            self._parents(path)
            self._file(path, member)
        else:
            raise Refused(
                f"the upload holds something that is no file, folder or link: {member.name!r}"
            )

    def _place(self, name: str) -> Path:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise Refused(f"the upload holds a name that leads out of its folder: {name!r}")
        return self.folder.joinpath(*parts)

    def _parents(self, path: Path) -> None:
        if path == self.folder:
            raise Refused("the upload replaces its own folder")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # The last entry of a name wins, as with tar.
        if path.is_file():
            path.unlink()

    def _file(self, path: Path, member: tarfile.TarInfo) -> None:
        mode = stat.S_IMODE(member.mode) & 0o755 | 0o600
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        source = self.tar.extractfile(member)
        if source is None:
            raise Refused(f"the upload holds an unreadable file: {member.name!r}")
        with os.fdopen(os.open(str(path), flags, mode), "wb") as file:
            chunk = source.read(CHUNK_BYTES)
            while chunk:
                self.check()
                file.write(chunk)
                chunk = source.read(CHUNK_BYTES)
        time = self._time(path, member)
        os.utime(str(path), (time, time))

    def _time(self, path: Path, member: tarfile.TarInfo) -> int:
        name = path.relative_to(self.folder).as_posix()
        own = self.times.get(name, self.times.get("", kept_time(member.mtime)))
        return kept_time(own)

    def _hard_link(self, path: Path, target: Path, name: str) -> None:
        if not target.is_file() or target.is_symlink():
            raise Refused(f"the upload holds a link to something that is not in it: {name!r}")
        os.link(str(target), str(path))

    def _check_target(self, path: Path, target: str) -> None:
        inside = os.path.normpath(str(path.parent.relative_to(self.folder) / target))
        if target.startswith("/") or inside == ".." or inside.startswith("../") or "\0" in target:
            raise Refused(f"the upload holds a link that leads out of its folder: {path.name!r}")

    def _check_link(self, path: Path) -> None:
        """Links through links may lead elsewhere than their texts say."""
        root = self.folder.resolve()
        try:
            real = path.resolve()
        except RuntimeError:
            return  # a loop leads nowhere
        if real != root and root not in real.parents:
            raise Refused(f"the upload holds a link that leads out of its folder: {path.name!r}")
