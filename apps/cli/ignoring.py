"""What .gitignore and .dstackignore leave out, at every level, as git decides it.

The last pattern that matches decides, a deeper file before one above it, and what lies in a folder
that is left out stays out. At one level .dstackignore is read after .gitignore, so it may bring
back (`!name`) what git leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from apps.cli.errors import CliError

FILES = (".gitignore", ".dstackignore")
_ALWAYS = ".git"


@dataclass(frozen=True)
class Level:
    """The patterns of one folder; `steps` leads from it to the folder that is packed."""

    spec: GitIgnoreSpec
    depth: int
    steps: tuple[str, ...] = ()

    def verdict(self, parts: tuple[str, ...], *, is_folder: bool) -> bool | None:
        """True: left out. False: kept. None: no pattern matches. `parts` from the packed folder."""
        path = "/".join((*self.steps, *parts[self.depth :]))
        return self.spec.check_file(path + "/" if is_folder else path).include


def outer_levels(root: Path) -> list[Level]:
    """This function will read the files above `root` up to the root of its repository.

    A working folder inside a repository obeys the repository; one that the repository itself
    leaves out does not, or nothing would be left of it.
    """
    folders = [root, *root.parents]
    top = next((at for at, one in enumerate(folders) if (one / _ALWAYS).exists()), 0)
    levels: list[Level] = []
    for at in range(top, 0, -1):
        steps = root.relative_to(folders[at]).parts
        level = read_level(folders[at], depth=0, steps=steps)
        levels += [level] if level else []
    around = [level for level in levels if level.verdict((), is_folder=True)]
    return [] if around else levels


def read_level(folder: Path, *, depth: int, steps: tuple[str, ...] = ()) -> Level | None:
    """This function will read the patterns of a folder, None where it has none."""
    lines: list[str] = []
    for name in FILES:
        lines += _lines(folder / name)
    if not lines:
        return None
    try:
        spec = GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise CliError(f"{folder / FILES[0]} or {FILES[1]} is not valid: {error}.") from error
    return Level(spec, depth, steps)


def is_ignored(levels: list[Level], parts: tuple[str, ...], *, is_folder: bool) -> bool:
    """This function will tell whether a path is left out; `levels` from the outermost inwards."""
    if parts[-1] == _ALWAYS:
        return True
    for level in reversed(levels):
        verdict = level.verdict(parts, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def _lines(path: Path) -> list[str]:
    try:
        if path.is_symlink() or not path.is_file():
            return []
        text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.") from error
    # `x/**` is what lies in x, not x itself, which a later `!x/y` must be able to reach.
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return [line.rstrip(" ") + "/*" if line.rstrip(" ").endswith("/**") else line for line in lines]
