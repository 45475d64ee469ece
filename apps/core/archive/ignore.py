"""What stays out of an upload: .gitignore and .dstackignore as git decides, and the usual rest.

The last pattern that matches decides, a deeper file before one above it, and what lies in a folder
that is left out stays out. At one level .dstackignore is read after .gitignore, so it may bring
back (`!name`) what git leaves out. What LEFT_OUT names is made anew by every machine; there
.dstackignore alone brings back, by name: `!*/` of a list of exceptions does not mean it.
Pure: files are read by who walks a folder or an archive.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

GITIGNORE, DSTACKIGNORE = ".gitignore", ".dstackignore"
# The one list, for the command line and the browser.
FOLDERS = (
    *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox", ".ipynb_checkpoints"),
    *(".idea", ".vscode"),
)
FILES = (".git", ".DS_Store")
SHOWN = 8
# A part of a pattern that names nothing.
_WILD = re.compile(r"[*?]+")


@dataclass(frozen=True)
class Rule:
    """One pattern. It matches a path itself, never what lies below: that is not even visited.

    `names` tells whether its last part is more than a wildcard.
    """

    path: re.Pattern[str]
    leaves_out: bool
    names: bool
    is_ours: bool


@dataclass(frozen=True)
class Level:
    """The rules of one folder; `steps` leads from it to the folder that is packed."""

    rules: tuple[Rule, ...]
    depth: int
    steps: tuple[str, ...] = ()

    def verdict(self, parts: Sequence[str], *, is_folder: bool) -> bool | None:
        """True: left out. False: kept. None: no rule matches. `parts` from the packed folder."""
        return self.decide((*self.steps, *parts[self.depth :]), is_folder=is_folder)

    def decide(self, parts: Sequence[str], *, is_folder: bool) -> bool | None:
        """As `verdict`, for `parts` from the folder of these rules."""
        return next((rule.leaves_out for rule in self._matching(parts, is_folder)), None)

    def brings_back(self, parts: Sequence[str], *, is_folder: bool) -> bool | None:
        """Tell whether .dstackignore brings a path of LEFT_OUT back, None where it says nothing."""
        found = self._matching((*self.steps, *parts[self.depth :]), is_folder)
        ours = (rule for rule in found if rule.is_ours and (rule.names or rule.leaves_out))
        return next((not rule.leaves_out for rule in ours), None)

    def _matching(self, parts: Sequence[str], is_folder: bool) -> Iterable[Rule]:
        path = "/".join(parts) + ("/" if is_folder else "")
        return (rule for rule in reversed(self.rules) if rule.path.search(path))


def level_of(
    texts: Mapping[str, bytes], *, depth: int, steps: tuple[str, ...] = ()
) -> Level | None:
    """Return the patterns of a folder's files by their names, None where it has none."""
    rules = [
        rule
        for name in (GITIGNORE, DSTACKIGNORE)
        for line in _lines(texts.get(name, b""))
        if (rule := _rule(line, is_ours=name == DSTACKIGNORE))
    ]
    return Level(tuple(rules), depth, steps) if rules else None


def is_left_out(levels: Sequence[Level], parts: Sequence[str], *, is_folder: bool) -> bool:
    """Tell whether LEFT_OUT names a path and nothing brings it back; `levels` inwards."""
    if parts[-1] not in (FOLDERS if is_folder else FILES):
        return False
    for level in reversed(levels):
        back = level.brings_back(parts, is_folder=is_folder)
        if back is not None:
            return not back
    return True


def is_ignored(levels: Sequence[Level], parts: Sequence[str], *, is_folder: bool) -> bool:
    """Tell whether patterns leave a path out; `levels` from the outermost inwards."""
    for level in reversed(levels):
        verdict = level.verdict(parts, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def in_words(paths: Iterable[str]) -> list[str]:
    """Return what LEFT_OUT kept out for a person: each name once, with how often, most first."""
    counted = Counter(path.rpartition("/")[2] for path in paths)
    said = [f"{name} ({count})" if count > 1 else name for name, count in counted.most_common()]
    return [*said[:SHOWN], *([f"{len(said) - SHOWN} more"] if len(said) > SHOWN else [])]


def _rule(line: str, *, is_ours: bool) -> Rule | None:
    """A line as git reads it; None for comments, blanks and what is no pattern, such as `[z-a]`."""
    last = line.strip().removeprefix("!").rstrip("/").rpartition("/")[2]
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
        path = re.compile(rf"(?:{pattern})\Z", re.DOTALL)
        return Rule(path, leaves_out, not _WILD.fullmatch(last), is_ours)
    except (ValueError, re.error):
        return None


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return [line.rstrip("\r") for line in text.split("\n")]
