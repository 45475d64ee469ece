"""Tables: one leading space, two spaces between columns, no borders, nothing wrapped or cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.cli.render.console import clean, paint


@dataclass(frozen=True)
class Cell:
    """A text with a colour for terminals."""

    text: str
    colour: str = ""


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Cell]]) -> str:
    """Lay out rows under their columns; each row is one line."""
    head = [Cell(column, "bold") for column in columns]
    body = [[_cell(value) for value in row] for row in rows]
    widths = [max(_width(row[at].text) for row in [head, *body]) for at in range(len(head))]
    return "\n".join(_line(row, widths) for row in [head, *body])


def block(pairs: Iterable[tuple[str, str]]) -> str:
    """Lay out names and values, one pair a line."""
    rows = [(Cell(clean(name), "bold"), Cell(clean(value))) for name, value in pairs]
    width = max((_width(name.text) for name, _ in rows), default=0)
    return "\n".join(_line(row, [width, 0]) for row in rows)


def _cell(value: str | Cell) -> Cell:
    if isinstance(value, Cell):
        return Cell(clean(value.text), value.colour)
    return Cell(clean(value))


def _line(cells: Sequence[Cell], widths: Sequence[int]) -> str:
    last = max((at for at, cell in enumerate(cells) if cell.text), default=-1)
    parts = [
        paint(cell.text, cell.colour) + " " * (width - _width(cell.text) if at < last else 0)
        for at, (cell, width) in enumerate(zip(cells[: last + 1], widths, strict=False))
    ]
    return " " + "  ".join(parts) if parts else ""


def _width(text: str) -> int:
    """The columns that a terminal needs for a text: 2 for wide characters, 0 for marks."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
