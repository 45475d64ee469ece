"""What .gitignore and .dstackignore leave out, at every level, as git decides it.

The last pattern that matches decides, a deeper file before one above it, and what lies in a folder
that is left out stays out. At one level .dstackignore is read after .gitignore, so it may bring
back (`!name`) what git leaves out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

from apps.cli.errors import CliError

FILES = (".gitignore", ".dstackignore")
_ALWAYS = ".git"


@dataclass(frozen=True)
class Rule:
    """One pattern. It matches a path itself, never what lies below: that is not even visited."""

    path: re.Pattern[str]
    leaves_out: bool


@dataclass(frozen=True)
class Level:
    """The rules of one folder; `steps` leads from it to the folder that is packed."""

    rules: tuple[Rule, ...]
    depth: int
    steps: tuple[str, ...] = ()

    def verdict(self, parts: tuple[str, ...], *, is_folder: bool) -> bool | None:
        """True: left out. False: kept. None: no rule matches. `parts` from the packed folder."""
        return self.decide((*self.steps, *parts[self.depth :]), is_folder=is_folder)

    def decide(self, parts: tuple[str, ...], *, is_folder: bool) -> bool | None:
        """As `verdict`, for `parts` from the folder of these rules."""
        path = "/".join(parts) + ("/" if is_folder else "")
        deciding = (rule.leaves_out for rule in reversed(self.rules) if rule.path.search(path))
        return next(deciding, None)


def outer_levels(root: Path) -> list[Level]:
    """This function will read the files above `root` up to the root of its repository.

    A working folder inside a repository obeys the repository; one that the repository itself
    leaves out does not, or nothing would be left of it.
    """
    folders = [root, *root.parents]
    top = next((at for at, one in enumerate(folders) if (one / _ALWAYS).exists()), 0)
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
    """This function will read the patterns of a folder, None where it has none."""
    lines: list[str] = []
    for name in FILES:
        lines += _lines(folder / name)
    rules = tuple(rule for line in lines if (rule := _rule(line)))
    return Level(rules, depth, steps) if rules else None


def is_ignored(levels: list[Level], parts: tuple[str, ...], *, is_folder: bool) -> bool:
    """This function will tell whether a path is left out; `levels` from the outermost inwards."""
    if parts[-1] == _ALWAYS:
        return True
    for level in reversed(levels):
        verdict = level.verdict(parts, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def _rule(line: str) -> Rule | None:
    """A line as git reads it; None for comments, blanks and what is no pattern, such as `[z-a]`."""
    # What lies in a folder, not the folder itself, which a later `!x/y` must be able to reach; with
    # a slash at the end only the folders in it.
    if line.rstrip().endswith("/**"):
        line = line.rstrip() + "/*"
    elif line.rstrip().endswith("/**/"):
        line = line.rstrip() + "*/"
    try:
        pattern, leaves_out = GitIgnoreBasicPattern.pattern_to_regex(line)
        if pattern is None or leaves_out is None:
            return None
        return Rule(re.compile(rf"(?:{pattern})\Z", re.DOTALL), leaves_out)
    except (ValueError, re.error):
        return None


def _lines(path: Path) -> list[str]:
    try:
        if path.is_symlink() or not path.is_file():
            return []
        text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.") from error
    return [line.rstrip("\r") for line in text.split("\n")]
