"""The .gitignore and .dstackignore files of folders: found and read, at every level."""

from __future__ import annotations

from pathlib import Path

from apps.cli.errors import CliError
from apps.core.archive.ignore import DSTACKIGNORE, GITIGNORE, Level, level_of

_REPOSITORY = ".git"


def outer_levels(root: Path) -> list[Level]:
    """Read the files above `root` up to the root of its repository.

    A working folder inside a repository obeys the repository; one that the repository itself
    leaves out does not, or nothing would be left of it.
    """
    folders = [root, *root.parents]
    top = next((at for at, one in enumerate(folders) if (one / _REPOSITORY).exists()), 0)
    levels: list[Level] = []
    for at in range(top, 0, -1):
        level = read_level(folders[at], depth=0, steps=root.relative_to(folders[at]).parts)
        levels += [level] if level else []
        below = at - 1
        verdicts = (
            one.decide(one.steps[: len(one.steps) - below], is_folder=True) for one in levels[::-1]
        )
        if next((verdict for verdict in verdicts if verdict is not None), False):
            return []
    return levels


def read_level(folder: Path, *, depth: int, steps: tuple[str, ...] = ()) -> Level | None:
    """Read the patterns of a folder, None where it has none."""
    texts = {name: _bytes(folder / name) for name in (GITIGNORE, DSTACKIGNORE)}
    return level_of(texts, depth=depth, steps=steps)


def _bytes(path: Path) -> bytes:
    try:
        return b"" if path.is_symlink() or not path.is_file() else path.read_bytes()
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.") from error
