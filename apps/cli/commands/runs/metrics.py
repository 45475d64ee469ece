"""`dstack metrics`: one section after the other, of requests, resources and scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import say
from apps.cli.render.table import table
from apps.cli.render.words import age, size

app = typer.Typer(rich_markup_mode=None, add_completion=False)

SHOWN_DECISIONS = 10
# So many lines fit on a screen with the rest.
SHOWN_LINES = 12
COLUMNS = (
    *("TIME", "RPS", "2XX", "3XX", "4XX", "5XX", "P50", "P95", "P99", "IN FLIGHT", "HELD"),
    *("TOKENS IN", "TOKENS OUT"),
)


@app.command()
def metrics(
    run: flags.RunName,
    range_: Annotated[
        str, typer.Option("--range", metavar="TIME", help="How far back: 15m, 1h, 6h, 7d.")
    ] = "1h",
    project: flags.Project = None,
    as_json: flags.AsJson = False,
) -> None:
    """Show what is asked of a run, what its replicas use, and what scaling did.

    Times are UTC.
    """
    with opened(project) as client:
        path = client.within("runs", run, "metrics")
        found = client.get(path, range=range_)
        # Percentiles of several steps are not those of their sum: the server has to work them out.
        lines = found if as_json else client.get(path, range=range_, points=SHOWN_LINES)
        decided = client.get(client.within("runs", run, "decisions"), limit=SHOWN_DECISIONS)
    if as_json:
        print_json({**found, "decisions": decided["items"]})
        return
    sections = [_requests(lines), _resources(found), _replicas(found), _decisions(decided["items"])]
    say("\n\n".join(section for section in sections if section))


def _requests(found: Mapping[str, Any]) -> str:
    points = _since_it_was_there(found)
    if not any(sum(point["requests"].values()) for point in points):
        return " No requests in this time."
    size = max(len(points) // SHOWN_LINES, 1)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return table(COLUMNS, [_row(group, found["step_seconds"]) for group in groups])


def _since_it_was_there(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Leave out the steps that were over before the run was there: nobody could ask it anything."""
    points: Sequence[Mapping[str, Any]] = found["points"]
    if not found["replicas"]:
        return points
    begin = datetime.fromisoformat(found["replicas"][0]["at"])
    step = timedelta(seconds=found["step_seconds"])
    return [
        point
        for point in points
        if datetime.fromisoformat(point["at"]) + step > begin or any(point["requests"].values())
    ]


def _row(points: Sequence[Mapping[str, Any]], step_seconds: int) -> list[str]:
    begin = datetime.fromisoformat(points[0]["at"]).astimezone(UTC)
    classes = [sum(p["requests"][name] for p in points) for name in ("2xx", "3xx", "4xx", "5xx")]
    # The newest step is not over yet; a server of an older version has whole ones only.
    spans = [p.get("seconds", step_seconds) for p in points]
    rps = sum(p["rps"] * span for p, span in zip(points, spans, strict=True)) / sum(spans)
    # A server of an older version does not sum up: its worst step stands for the line.
    slow = [
        max((p[name] for p in points if p[name] is not None), default=None) for name in LATENCIES
    ]
    most = [max(p[name] for p in points) for name in ("in_flight", "held")]
    tokens = [_tokens([p[name] for p in points]) for name in ("tokens_in", "tokens_out")]
    span = len(points) * step_seconds
    clock = f"{begin:%m-%d %H:%M}" if span > 3600 else f"{begin:%H:%M:%S}"
    numbers = [*(f"{n:,}" if n else "-" for n in most), *tokens]
    return [clock, f"{rps:.1f}", *(f"{n:,}" for n in classes), *map(_time, slow), *numbers]


LATENCIES = ("p50_ms", "p95_ms", "p99_ms")


def _tokens(counts: Sequence[int | None]) -> str:
    """Return a sum; a dash is what was not measured, which is not 0."""
    measured = [count for count in counts if count is not None]
    return f"{sum(measured):,}" if measured else "-"


def _time(ms: float | None) -> str:
    if ms is None:
        return "-"
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.0f} ms" if ms >= 99.5 else f"{ms:.2g} ms"


def _resources(found: Mapping[str, Any]) -> str:
    """The last sample of each replica that has one in the newest tenth of the time."""
    rows = []
    for each in found.get("resources", ()):  # a server of an older version has none
        recent = each["points"][-max(len(each["points"]) // 10, 3) :]
        last = next((point for point in reversed(recent) if point), None)
        if last is not None:
            rows.append([str(each["replica"]), *_used(last)])
    return table(RESOURCE_COLUMNS, rows) if rows else ""


RESOURCE_COLUMNS = ("REPLICA", "CPU", "MEMORY", "DISK", "GPU", "GPU MEMORY")


def _used(point: Mapping[str, Any]) -> list[str]:
    of_cores = f" of {point['cpu_limit']:g}" if point["cpu_limit"] else ""
    gpu = "-" if point["gpu_percent"] is None else f"{point['gpu_percent']:.0f} %"
    return [
        f"{point['cpu_cores']:.2f}{of_cores} cores",
        _share(point["memory_bytes"], point["memory_limit_bytes"]),
        _share(point["disk_bytes"], None),
        gpu,
        _share(point["gpu_memory_bytes"], point["gpu_memory_total_bytes"]),
    ]


def _share(used: int | None, limit: int | None) -> str:
    if used is None:
        return "-"
    return f"{size(used)} of {size(limit)}" if limit else size(used)


def _replicas(found: Mapping[str, Any]) -> str:
    if not found["replicas"]:
        return ""
    now = found["replicas"][-1]
    return f" Replicas: {now['ready']} of {now['wanted']} ready."


def _decisions(items: Sequence[Mapping[str, Any]]) -> str:
    if not items:
        return ""
    now = datetime.now(UTC)
    return table(("DECIDED", "WHY"), [[age(one["at"], now=now), one["reason"]] for one in items])
