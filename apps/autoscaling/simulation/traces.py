"""Loads to replay: requests per second, second by second. Pure."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable

Trace = list[float]


def steps() -> Trace:
    """Return a load that doubles every two minutes, then falls in one step."""
    return [rate for rate in (5.0, 10.0, 20.0, 40.0, 80.0, 5.0, 0.0) for _ in range(120)]


def ramp() -> Trace:
    """Return ten minutes up to 100 rps, and as long down."""
    up = [second / 6 for second in range(600)]
    return [*up, *reversed(up), *[0.0] * 600]


def day() -> Trace:
    """Return a day's curve with its night, an hour in a minute."""
    curve = [60 * max(0.0, -math.cos(2 * math.pi * second / 1440)) for second in range(1440)]
    return [0.0 if rate < 3 else rate for rate in curve]


def flash() -> Trace:
    """Return nothing, then 150 rps within a second for three minutes."""
    return [*[0.0] * 60, *[150.0] * 180, *[2.0] * 300, *[0.0] * 400]


TRACES: dict[str, Callable[[], Trace]] = {
    "steps": steps,
    "ramp": ramp,
    "day": day,
    "flash": flash,
}


def recorded(lines: Iterable[str]) -> Trace:
    """Read a CSV of second and rps; a rate holds until the next line's second.

    Lines that are no numbers (a heading) are passed over. Raise ValueError when none is left or
    the seconds do not grow.
    """
    rows = []
    for row in csv.reader(lines):
        try:
            rows.append((int(float(row[0])), max(float(row[1]), 0.0)))
        except (ValueError, IndexError, OverflowError):
            continue
    if not rows:
        raise ValueError("no line has a second and a rate, such as 60,12.5")
    trace: Trace = []
    for (second, rate), (following, _) in zip(
        rows, [*rows[1:], (rows[-1][0] + 1, 0.0)], strict=True
    ):
        if not second < following <= 7 * 86_400:
            raise ValueError(f"second {following} does not come after {second}, within a week")
        trace += [rate] * (following - second)
    return trace
