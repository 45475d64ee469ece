"""Two texts line by line, as a unified diff: what went, what came, and which words of it. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

CONTEXT_LINES = 3
# A configuration is far shorter.
MOST_LINES, LONGEST_LINE = 2000, 10_000
# Comparing what repeats itself takes time with the cube of it: so many steps are half a second.
MOST_STEPS = 20_000_000
# Lines that have less in common are two lines, not one that changed.
LEAST_ALIKE = 0.4
WORDS = re.compile(r"\w+|\s+|[^\w\s]")
SAME, OLD, NEW, GAP = "same", "old", "new", "gap"


@dataclass(frozen=True)
class Part:
    """A piece of a line; `is_changed` where the other line has something else."""

    text: str
    is_changed: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a diff: both have it (`same`), only the old text (`old`) or the new one (`new`), or
    lines that both have are left out there (`gap`)."""

    kind: str
    parts: tuple[Part, ...] = ()

    @property
    def sign(self) -> str:
        return {OLD: "-", NEW: "+", GAP: "⋯"}.get(self.kind, " ")


@dataclass
class Patience:
    """How many steps comparing may still take, of one text or of all those of a page."""

    left: int = MOST_STEPS

    def is_enough_for(self, old: Sequence[str], new: Sequence[str]) -> bool:
        """Tell whether the most that comparing these may take is left, and take it."""
        counted = Counter(new)
        pairs = sum(count * counted[each] for each, count in Counter(old).items())
        steps = (pairs + len(old)) * min(len(old), len(new), pairs + 1)
        is_enough = steps <= self.left
        self.left -= steps if is_enough else 0
        return is_enough


def unified(old: str, new: str, patience: Patience | None = None) -> list[Line]:
    """Return the lines that differ with those around them; nothing where none does, or where the
    texts take too long to compare."""
    patience = patience or Patience()
    before, after = old.splitlines(), new.splitlines()
    if before == after or max(len(before), len(after)) > MOST_LINES:
        return []
    if not patience.is_enough_for(before, after):
        return []
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    found: list[Line] = []
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        if found or group[0][1]:
            found.append(Line(GAP))
        for kind, first, last, start, end in group:
            found += _block(kind, before[first:last], after[start:end], patience)
    if group[-1][2] < len(before):
        found.append(Line(GAP))
    return found


def _block(kind: str, old: Sequence[str], new: Sequence[str], patience: Patience) -> list[Line]:
    if kind == "equal":
        return [Line(SAME, (Part(text),)) for text in old]
    pairs = [_pair(one, other, patience) for one, other in zip_longest(old, new)]
    went = [Line(OLD, parts) for parts, _ in pairs[: len(old)]]
    return went + [Line(NEW, parts) for _, parts in pairs[: len(new)]]


def _pair(
    old: str | None, new: str | None, patience: Patience
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Both lines, with the words marked that differ; plain where they are two lines, or take too
    long to compare."""
    plain = ((Part(old or ""),), (Part(new or ""),))
    if old is None or new is None or max(len(old), len(new)) > LONGEST_LINE:
        return plain
    before, after = WORDS.findall(old), WORDS.findall(new)
    if not patience.is_enough_for(before, after):
        return plain
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    if matcher.ratio() < LEAST_ALIKE:
        return plain
    steps = matcher.get_opcodes()
    went = ((kind, before[first:last]) for kind, first, last, _, _ in steps)
    came = ((kind, after[start:end]) for kind, _, _, start, end in steps)
    return tuple(_parts(went)), tuple(_parts(came))


def _parts(pieces: Iterator[tuple[str, list[str]]]) -> Iterator[Part]:
    for kind, words in pieces:
        if words:
            yield Part("".join(words), is_changed=kind != "equal")
