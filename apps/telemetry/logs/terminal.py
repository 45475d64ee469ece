"""What a program paints on a terminal, as text for a page. Pure.

Colours, bold and the like become classes; all else that a terminal would obey is left out. Only the
sixteen colours that themes name are kept, others become the nearest of them, so that a line can be
read in light and dark; backgrounds are not painted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
STYLES = re.compile(r"\x1b\[([0-9;:]*)m")
# What a terminal would obey though it is no whole sequence, as where one was hidden in another.
LEFT_OVER = re.compile(r"[\x1b\x80-\x9f]")
# Longer ones are no style that a program means.
MOST_CODES = 32
# Of one line: markup takes many times the room of what it marks.
MOST_STYLES, MOST_MARKS = 200, 200
NAMES = {1: "bold", 2: "dim", 3: "italic", 4: "underline"}
BRIGHT = 8


@dataclass(frozen=True)
class Style:
    """`color` is 0 to 15 or None; `marks` are among the values of NAMES."""

    color: int | None = None
    marks: frozenset[str] = frozenset()

    @property
    def classes(self) -> str:
        color = () if self.color is None else (f"ansi-{self.color}",)
        return " ".join((*color, *(f"ansi-{each}" for each in sorted(self.marks))))


PLAIN = Style()


def plain(text: str) -> str:
    """Return the text without what a terminal would obey."""
    return LEFT_OVER.sub("", ESCAPES.sub("", text))


def as_html(text: str, *, search: str = "") -> SafeString:
    """Return the escaped text in its colours, with what was searched for marked."""
    pieces = list(pieces_of(text))
    bare = "".join(piece for piece, _ in pieces)
    found = re.finditer(re.escape(search), bare, re.IGNORECASE) if search else ()
    marked = [match.span() for match in islice(found, MOST_MARKS)]
    # Escaped piece by piece; the classes are ours.
    return mark_safe("".join(_html(*each) for each in _cut(pieces, marked)))


def pieces_of(text: str) -> Iterator[tuple[str, Style]]:
    """Yield the text piece by piece, each with its style; after many, the rest in that of the
    last."""
    style, begin = PLAIN, 0
    for match in islice(ESCAPES.finditer(text), MOST_STYLES):
        if match.start() > begin:
            yield text[begin : match.start()], style
        begin = match.end()
        if said := STYLES.fullmatch(match[0]):
            style = _after(style, said[1])
    if rest := ESCAPES.sub("", text[begin:]):
        yield rest, style


def _after(style: Style, codes: str) -> Style:
    numbers = [int(code[:4]) if code else 0 for code in re.split("[;:]", codes)][:MOST_CODES]
    while numbers:
        number = numbers.pop(0)
        if number in (38, 48):
            color = _long_color(numbers)
            style = replace(style, color=color) if number == 38 else style
        else:
            style = _with(style, number)
    return style


def _with(style: Style, number: int) -> Style:
    if number == 0:
        return PLAIN
    if number in NAMES:
        return replace(style, marks=style.marks | {NAMES[number]})
    if number == 22:
        return replace(style, marks=style.marks - {"bold", "dim"})
    if number in (23, 24):
        return replace(style, marks=style.marks - {NAMES[number - 20]})
    if 30 <= number <= 37:
        return replace(style, color=number - 30)
    if 90 <= number <= 97:
        return replace(style, color=number - 90 + BRIGHT)
    return replace(style, color=None) if number == 39 else style


def _long_color(numbers: list[int]) -> int | None:
    """Take `5;N` or `2;R;G;B` from the numbers."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        return _of_256(numbers.pop(0))
    if kind == 2 and len(numbers) >= 3:
        rgb, numbers[:3] = numbers[:3], []
        return _nearest([part > 127 for part in rgb], is_grey=max(rgb) - min(rgb) < 32)
    # What follows belongs to a colour that cannot be read.
    numbers.clear()
    return None


def _of_256(number: int) -> int | None:
    if number < 16:
        return number
    if number > 231:
        return BRIGHT if number < 248 else None
    parts = [(number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6]
    return _nearest([part > 2 for part in parts], is_grey=len(set(parts)) == 1)


def _nearest(strong: Sequence[bool], *, is_grey: bool) -> int | None:
    if is_grey:
        return None if all(strong) else BRIGHT
    return sum(1 << place for place, is_strong in enumerate(strong) if is_strong) or None


def _cut(
    pieces: Iterable[tuple[str, Style]], marked: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, Style, bool]]:
    """Cut pieces where a mark begins or ends, and say of each whether it is marked."""
    edges = [edge for span in marked for edge in span]
    passed = at = 0
    for text, style in pieces:
        begin = 0
        while passed < len(edges) and edges[passed] < at + len(text):
            end = edges[passed] - at
            if end > begin:
                yield text[begin:end], style, bool(passed % 2)
            begin, passed = end, passed + 1
        if begin < len(text):
            yield text[begin:], style, bool(passed % 2)
        at += len(text)


def _html(text: str, style: Style, is_marked: bool) -> str:
    html = escape(text)
    if style.classes:
        html = SafeString(f'<span class="{style.classes}">{html}</span>')
    return f"<mark>{html}</mark>" if is_marked else html
