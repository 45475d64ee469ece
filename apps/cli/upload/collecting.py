"""The files of a working folder that go into its archive, in one order on every machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apps.cli.errors import CliError
from apps.cli.render.console import clean
from apps.cli.render.words import size
from apps.cli.upload.ignore_files import outer_levels, read_level
from apps.core.archive import contents
from apps.core.archive.ignore import Level, is_ignored, is_left_out

# What the server unpacks at most.
MOST_FILES = 100_000
_EXCLUDE = "add it to .dstackignore"


@dataclass(frozen=True)
class Entry:
    """One path of the archive: a folder, a link (`target`) or a file (`size_bytes`)."""

    path: str
    kind: str
    size_bytes: int = 0
    executable: bool = False
    target: str = ""
    time: int = contents.EARLIEST


@dataclass
class Collection:
    """What a working folder holds; `warnings` say what was left out without being asked, `left_out`
    are paths that every machine makes anew."""

    root: Path
    entries: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.entries)

    def leave_out(self, path: str, reason: str) -> None:
        """Note that a path is not in the archive, and why."""
        self.warnings.append(f"{path} is left out of the upload: {reason}.")

    def biggest(self, count: int = 5) -> list[str]:
        """Name the biggest files, for a person who must leave some out."""
        largest = sorted(self.entries, key=lambda entry: -entry.size_bytes)[:count]
        return [f"{size(entry.size_bytes):>10}  {clean(entry.path)}" for entry in largest]


def collect(folder: Path, *, without: Path | None = None) -> Collection:
    """List what is packed of a folder, sorted by the bytes of the paths.

    `without` is the service's own file, which is sent beside the archive: part of it, a change of
    the number of replicas would look like a change of what they run.

    Raise CliError for links that leave the folder and for too many files.
    """
    try:
        root = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise CliError(f"The folder {clean(folder)} does not exist or cannot be read.") from error
    if not root.is_dir():
        raise CliError(f"{clean(folder)} is not a folder.")
    collection = Collection(root)
    leaving: list[str] = []
    own = without.resolve() if without else None
    for entry in _walk(collection, outer_levels(root), ()):
        if entry.kind == "file" and root / entry.path == own:
            continue
        if entry.kind == "link" and not entry.target:
            leaving.append(entry.path)
        collection.entries.append(entry)
        if len(collection.entries) > MOST_FILES:
            raise CliError(
                f"{clean(folder)} holds more than {MOST_FILES:,} files: choose another folder "
                "or leave some out with .dstackignore."
            )
    if leaving:
        shown = ", ".join(clean(path) for path in sorted(leaving)[:5])
        more = f" and {len(leaving) - 5} more" if len(leaving) > 5 else ""
        raise CliError(
            f"Links lead out of the folder: {shown}{more}. Replace each by what it points to, "
            f"or {_EXCLUDE}."
        )
    collection.entries.sort(key=lambda entry: os.fsencode(entry.path).split(b"/"))
    return collection


def _walk(collection: Collection, levels: list[Level], parts: tuple[str, ...]) -> Iterator[Entry]:
    folder = collection.root.joinpath(*parts)
    try:
        own = read_level(folder, depth=len(parts))
        with os.scandir(folder) as found:
            children = list(found)
    except OSError as error:
        if not parts:
            raise CliError(f"{folder} cannot be read: {error.strerror}.") from error
        collection.leave_out("/".join(parts), str(error.strerror))
        return
    levels = [*levels, own] if own else levels
    for child in children:
        below = (*parts, child.name)
        is_folder = child.is_dir(follow_symlinks=False)
        if is_left_out(levels, below, is_folder=is_folder):
            collection.left_out.append("/".join(below))
            continue
        if is_ignored(levels, below, is_folder=is_folder):
            continue
        entry = _entry(collection, child, "/".join(below))
        if entry:
            yield entry
        if is_folder:
            yield from _walk(collection, levels, below)


def _entry(collection: Collection, child: os.DirEntry[str], path: str) -> Entry | None:
    try:
        found = child.stat(follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = _inside(collection.root, path)
            return Entry(path, "link", target=target, time=contents.kept_time(found.st_mtime))
    except OSError as error:
        collection.leave_out(path, str(error.strerror))
        return None
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, "folder", time=contents.kept_time(found.st_mtime))
    if not stat.S_ISREG(found.st_mode):
        collection.leave_out(path, "neither a file nor a folder")
        return None
    if not os.access(child.path, os.R_OK):
        collection.leave_out(path, "not readable")
        return None
    return Entry(path, "file", found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _inside(root: Path, path: str) -> str:
    """A link's target, relative to the link; "" when it leads out of the folder.

    Both where it says it leads and where it really leads must lie inside: the archive is unpacked
    elsewhere, and what an absolute link names here may be something else there.
    """
    link = root / path
    target = os.readlink(link)  # noqa: PTH115 - Path.readlink() would drop a leading "./"
    says = os.path.normpath(link.parent / target)
    for place in (says, os.path.realpath(link)):
        if not Path(place).is_relative_to(root):
            return ""
    return os.path.relpath(says, link.parent) if target.startswith(os.sep) else target
