"""A simulation as text for a terminal and as a page with a picture. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from apps.autoscaling.simulation.simulate import Moment

ROWS = 60
BAR = 24
WIDTH, HEIGHT, LEFT = 960, 150, 60
STYLE = (
    "body{font:14px system-ui;margin:24px auto;max-width:1040px;color:#1f2937}"
    "svg{display:block;width:100%;height:auto}text{font:12px system-ui;fill:#6b7280}"
    "polyline{fill:none;stroke-width:1.5}.grid{stroke:#e5e7eb}li{margin:2px 0}"
)
Series = tuple[str, str, Sequence[float]]
Value = Callable[[Moment], float]
LINES: Sequence[tuple[str, Sequence[tuple[str, str, Value]]]] = (
    ("Requests per second", (("asked", "#2563eb", lambda m: m.rps),)),
    (
        "Replicas",
        (
            ("wanted", "#2563eb", lambda m: m.desired),
            ("ready", "#16a34a", lambda m: m.ready),
        ),
    ),
    (
        "Requests that wait",
        (
            ("waiting", "#6b7280", lambda m: m.waiting),
            ("held", "#d97706", lambda m: m.held),
        ),
    ),
    ("Failed per second", (("failed", "#dc2626", lambda m: m.failed),)),
)
# Beside each other: the same of each rule.
COMPARED: Sequence[tuple[str, Value]] = (
    ("Ready replicas", lambda m: m.ready),
    ("Requests that wait", lambda m: m.waiting),
    ("Failed per second", lambda m: m.failed),
)
COLOURS = ("#2563eb", "#16a34a", "#d97706", "#9333ea")


def summary(moments: Sequence[Moment]) -> str:
    """Say in one line what became of the requests and what it took."""
    answered = sum(m.answered for m in moments)
    failed = sum(m.failed for m in moments)
    hours = sum(m.ready for m in moments) / 3600
    longest = max((m.longest_wait for m in moments), default=0)
    return (
        f"{answered:,} answered, {failed:,} failed, longest wait {longest} s, "
        f"most held {max((m.held for m in moments), default=0):,}, "
        f"{hours:.2f} replica hours, at most {max((m.desired for m in moments), default=0)} wanted"
    )


def decisions(moments: Sequence[Moment]) -> list[str]:
    return [f"{m.second:>6} s  {m.reason}" for m in moments if m.reason]


def text(moments: Sequence[Moment]) -> str:
    """Draw about sixty lines, each the last second of its part of the trace."""
    part = max(len(moments) // ROWS, 1)
    most = max([m.desired for m in moments] + [1])
    lines = ["  second     rps  wanted ready    held  failed  ready # and wanted -"]
    for start in range(0, len(moments), part):
        group = moments[start : start + part]
        last = group[-1]
        ready, desired = (round(n / most * BAR) for n in (last.ready, last.desired))
        bar = "#" * ready + "-" * (desired - ready)
        held, failed = max(m.held for m in group), sum(m.failed for m in group)
        numbers = f"{last.second:>8}{last.rps:>8.1f}{last.desired:>8}{last.ready:>6}"
        lines.append(f"{numbers}{held:>8}{failed:>8}  {bar}")
    return "\n".join(line.rstrip() for line in lines)


def comparison(runs: Mapping[str, Sequence[Moment]]) -> list[str]:
    """Say what became of the requests under each rule, in a table."""
    lines = [f"{'rule':<12}{'answered':>10}{'failed':>10}{'longest wait':>14}{'replica hours':>15}"]
    for name, moments in runs.items():
        answered, failed = (sum(m.answered for m in moments), sum(m.failed for m in moments))
        longest = max((m.longest_wait for m in moments), default=0)
        hours = sum(m.ready for m in moments) / 3600
        lines += [f"{name:<12}{answered:>10,}{failed:>10,}{longest:>12} s{hours:>15.2f}"]
    return lines


def page(title: str, runs: Mapping[str, Sequence[Moment]]) -> str:
    """Return an HTML page with the curves as SVG; it needs nothing else.

    The first of `runs` is drawn in full, and all of them beside each other where there are more.
    """
    moments = next(iter(runs.values()))
    charts = "".join(
        _chart(name, [(key, colour, [value(m) for m in moments]) for key, colour, value in series])
        for name, series in LINES
    )
    told = "".join(f"<li>{escape(line)}</li>" for line in decisions(moments))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{escape(title)}</h1><p>{escape(summary(moments))}</p>"
        f"{charts}{_beside(runs)}<h2>Decisions</h2><ol>{told}</ol></html>\n"
    )


def _beside(runs: Mapping[str, Sequence[Moment]]) -> str:
    if len(runs) < 2:
        return ""
    charts = "".join(
        _chart(
            name,
            [
                (rule, colour, [value(m) for m in moments])
                for (rule, moments), colour in zip(runs.items(), COLOURS, strict=False)
            ],
        )
        for name, value in COMPARED
    )
    table = escape("\n".join(comparison(runs)))
    return f"<h1>Beside other rules</h1><pre>{table}</pre>{charts}"


def _chart(name: str, series: Sequence[Series]) -> str:
    most = max([each for _, _, values in series for each in values] + [1])
    length = max(len(values) for _, _, values in series)
    keys = " · ".join(f'<tspan fill="{colour}">{key}</tspan>' for key, colour, _ in series)
    drawn = "".join(
        f'<polyline stroke="{colour}" points="{_points(values, most)}"/>'
        for _, colour, values in series
    )
    base = HEIGHT - 20
    return (
        f'<h2>{name}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">'
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{base}" y2="{base}"/>'
        f'<text x="{LEFT - 6}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{LEFT - 6}" y="16" text-anchor="end">{most:,.0f}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{keys}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{length} s</text>{drawn}</svg>'
    )


def _points(values: Sequence[float], most: float) -> str:
    width = (WIDTH - LEFT) / max(len(values), 1)
    points = []
    for second, value in enumerate(values):
        y = HEIGHT - 20 - value / most * (HEIGHT - 32)
        points += [f"{LEFT + second * width:.1f},{y:.1f}"]
    return " ".join(points)
