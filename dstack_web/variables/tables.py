"""The list as Markdown, for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_web.variables.every import FOR_SERVICES, INTERNAL, PUBLIC
from dstack_web.variables.variable import Kind, Variable


def public() -> str:
    """Return a section for each group that people set."""
    return "\n\n".join(f"## {title}\n\n{table(rows)}" for title, rows in PUBLIC.items())


def internal() -> str:
    return table(INTERNAL)


def for_services() -> str:
    rows = [f"| `{row.name}` | {row.says} |" for row in FOR_SERVICES]
    return "\n".join(("| variable | meaning |", "|---|---|", *rows))


def table(rows: Sequence[Variable]) -> str:
    head = ("| variable | value | default | read by | meaning |", "|---|---|---|---|---|")
    return "\n".join((*head, *map(line, rows)))


def line(row: Variable) -> str:
    says = f"{row.says} Empty: {row.empty_means}." if row.empty_means else row.says
    cells = (f"`{row.name}`", value(row), default(row), ", ".join(row.parts), says)
    return f"| {' | '.join(cells)} |"


def value(row: Variable) -> str:
    if row.kind is Kind.CHOICE:
        return " or ".join(f"`{choice}`" for choice in row.choices)
    if row.kind in (Kind.WHOLE, Kind.NUMBER):
        bounds = f"{row.kind}, {row.least} to {row.most}"
        return f"{bounds} {row.unit}".strip()
    return str(row.kind)


def default(row: Variable) -> str:
    if row.default_is:
        return row.default_is
    if row.kind is Kind.SWITCH:
        return "off"
    return f"`{row.default}`" if row.default else ""
