"""Packs the checked upload for a container, piece by piece, owned by the user who will run it."""

from __future__ import annotations

import os
import tarfile
import typing
from pathlib import Path

CHUNK_BYTES = 256 * 1024


def packed(folder: Path, *, name: str, owner: str) -> typing.Iterator[bytes]:
    """Yield a tar archive of the folder's content below `name`.

    `owner` is a container's user: "", "1000", "1000:1000" or a name, which only the image can
    resolve: for a name everything is writable by all.
    """
    uid, gid, everybody = _owner(owner)

    def header(path: Path, inside: str) -> tarfile.TarInfo:
        member = _header(path, inside)
        member.uid, member.gid, member.uname, member.gname = uid, gid, "", ""
        if everybody and not member.issym():
            member.mode |= 0o777 if member.isdir() else 0o666
        return member

    yield header(folder, name).tobuf(tarfile.PAX_FORMAT)
    for path in _walk(folder):
        member = header(path, f"{name}/{path.relative_to(folder)}")
        yield member.tobuf(tarfile.PAX_FORMAT)
        if member.isreg():
            yield from _content(path, member.size)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _owner(owner: str) -> tuple[int, int, bool]:
    user, _, group = owner.partition(":")
    if user in ("", "root"):
        user = "0"
    if not user.isdigit():
        return 0, 0, True
    return int(user), int(group) if group.isdigit() else int(user), False


def _header(path: Path, inside: str) -> tarfile.TarInfo:
    about = path.lstat()
    member = tarfile.TarInfo(inside)
    member.mode, member.mtime = about.st_mode & 0o7777, int(about.st_mtime)
    if path.is_symlink():
        member.type, member.linkname = tarfile.SYMTYPE, os.fspath(path.readlink())
    elif path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    else:
        member.size = about.st_size
    return member


def _walk(folder: Path) -> typing.Iterator[Path]:
    for parent, folders, names in os.walk(str(folder)):
        for name in sorted([*folders, *names]):
            yield Path(parent) / name


def _content(path: Path, size: int) -> typing.Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK_BYTES), b"")
    yield b"\0" * (-size % tarfile.BLOCKSIZE)
