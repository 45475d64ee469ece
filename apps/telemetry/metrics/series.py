"""Every read of what was asked of services: series for charts, and the figures of now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.core.errors import Detail, Invalid
from apps.runs.models import Run
from apps.specs.errors import Misfit
from apps.specs.fields import durations
from apps.telemetry.metrics import replica_levels, usage
from apps.telemetry.models import GatewayFeed, Traffic
from apps.telemetry.traffic import histograms
from apps.telemetry.traffic.histograms import percentile
from apps.telemetry.traffic.ingest import bucket_of, summed

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# A chart has so many points at most; a step is never finer than what is kept of that age.
MOST_POINTS = 180
STEPS_SECONDS = (
    *(10, 30, 60, 120, 300, 600, 1800, 3600, 7200),
    *(21_600, 43_200, 86_400, 259_200, 604_800, 2_592_000),
)
FINEST = ((timedelta(days=2), 600), (timedelta(hours=6), 60))
LONGEST = timedelta(days=31)
RECENT_SECONDS = 60
SPARK_MINUTES = 30
OUTCOME_MINUTES = 15

Series = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """What a service is doing now; None is "nothing to tell". `spark` is rps by the minute.

    Errors are answers of 5xx, refusals those of 4xx: the one is the service's, the other may be its
    callers' fault.
    """

    rps: float = 0.0
    p95_ms: float | None = None
    errors_percent: float | None = None
    refused_percent: float | None = None
    spark: tuple[float, ...] = ()

    @property
    def p95(self) -> str:
        """`84 ms`, `8.53 s`, or nothing."""
        return time_words(self.p95_ms)

    @property
    def is_quiet(self) -> bool:
        return not self.rps and not any(self.spark)


def time_words(milliseconds: float | None) -> str:
    """Write `84 ms`, `8.53 s`, or nothing for what was not measured."""
    if milliseconds is None:
        return ""
    if milliseconds < 999.5:
        return f"{milliseconds:.3g} ms"
    return f"{milliseconds / 1000:.3g} s"


def read_range(text: str) -> timedelta:
    """Read "15m", "1h", "7d". Raise Invalid."""
    try:
        length = timedelta(seconds=durations.seconds(text))
    except Misfit as error:
        raise _bad_range(text) from error
    if not timedelta(minutes=1) <= length <= LONGEST:
        raise _bad_range(text)
    return length


def _bad_range(text: str) -> Invalid:
    problem = f"must be a time between 1m and {LONGEST.days}d, such as 1h, found {text[:40]!r}"
    return Invalid(f"range {problem}.", details=[Detail("range", problem)])


def step_of(length: timedelta, most_points: int = MOST_POINTS) -> int:
    """Return the seconds of one point of a chart over `length`."""
    finest = next((seconds for age, seconds in FINEST if length > age), STEPS_SECONDS[0])
    fitting = [s for s in STEPS_SECONDS if length.total_seconds() / s <= most_points]
    return max(finest, fitting[0] if fitting else STEPS_SECONDS[-1])


def requests_of(
    *, run: Run, length: timedelta, at: datetime, most_points: int = MOST_POINTS
) -> Series:
    """Return a run's requests over the last `length`, and its replicas.

    Points are evenly spaced, and there are some only while the run was there; where nothing was
    asked they are zero. The newest goes as far as the gateway has counted, so that what was just
    asked is in it. `since` and `until` are what was asked for, in whole steps.
    """
    step = step_of(length, most_points)
    since, counted = bucket_of(at - length, step), _counted_until(run, at=at, step=step)
    begin = max(since, bucket_of(run.created_at, step))
    over = bucket_of(run.finished_at or at, step) + timedelta(seconds=step)
    end = max(begin, min(counted, over))
    rows: dict[datetime, list[Traffic]] = {}
    for row in Traffic.objects.filter(run_id=run.pk, at__gte=begin, at__lt=end):
        rows.setdefault(bucket_of(row.at, step), []).append(row)
    count = math.ceil((end - begin).total_seconds() / step)
    times = [begin + timedelta(seconds=step * n) for n in range(count)]
    return {
        "since": since,
        "until": counted,
        "begin": begin,
        "end": end,
        "step_seconds": step,
        "points": [
            _point(when, rows.get(when, []), min(step, (end - when).total_seconds()))
            for when in times
        ],
        "replicas": levels_of(run=run, begin=since, end=at),
        "resources": usage.of_replicas(run=run, begin=begin, end=end, step=step),
    }


def _counted_until(run: Run, *, at: datetime, step: int) -> datetime:
    """The end of the last whole step, or in the step after it the gateway's last look.

    A look says what came since the one before it, about a second: less is no time for a rate.
    """
    whole = bucket_of(at, step)
    feed = GatewayFeed.objects.filter(gateway=run.gateway_id).first()
    if feed is None or feed.looked_at is None or feed.looked_at < whole:
        return whole
    return max(min(feed.looked_at, at), whole + timedelta(seconds=1))


def _point(when: datetime, rows: Sequence[Traffic], seconds: float) -> Series:
    by_class = summed(*(row.by_class for row in rows)) or [0] * len(CLASSES)
    latency, first_byte = times_of(rows), first_byte_times_of(rows)
    has_tokens = any(row.has_tokens for row in rows)
    return {
        "at": when,
        "seconds": seconds,
        "requests": dict(zip(CLASSES, by_class, strict=True)),
        "rps": round(sum(by_class[1:]) / seconds, 3),
        "in_flight": max((row.in_flight_max for row in rows), default=0),
        "held": max((row.held_max for row in rows), default=0),
        "p50_ms": percentile(latency, 0.5),
        "p95_ms": percentile(latency, 0.95),
        "p99_ms": percentile(latency, 0.99),
        "first_byte_p50_ms": percentile(first_byte, 0.5),
        "first_byte_p95_ms": percentile(first_byte, 0.95),
        "tokens_in": sum(row.tokens_in for row in rows) if has_tokens else None,
        "tokens_out": sum(row.tokens_out for row in rows) if has_tokens else None,
        "bytes_in": sum(row.bytes_in for row in rows),
        "bytes_out": sum(row.bytes_out for row in rows),
    }


def times_of(rows: Sequence[Traffic]) -> histograms.Histogram:
    """Return how long the requests of all rows took."""
    return histograms.whole((row.total_us for row in rows), (row.latency for row in rows))


def first_byte_times_of(rows: Sequence[Traffic]) -> histograms.Histogram:
    """Return how long it took to the first bytes of the answers."""
    return histograms.whole((row.first_us for row in rows), (row.first_byte for row in rows))


def levels_of(*, run: Run, begin: datetime, end: datetime) -> list[Series]:
    """Return when a run's desired and ready replicas changed, and how they stood
    at the begin and at the end."""
    found = replica_levels.of(run=run, begin=begin, end=end)
    return [{"at": each.at, "wanted": each.desired, "ready": each.ready} for each in found]


def figures(*, run_ids: Iterable[UUID], at: datetime) -> dict[UUID, Figures]:
    """Return the figures of the last minute, and half an hour of rps."""
    begin = bucket_of(at, 60) - timedelta(minutes=SPARK_MINUTES - 1)
    rows = _rows(run_ids, begin, at)
    return {pk: _figures(its, begin, at) for pk, its in rows.items()}


def figures_of_last_minute(*, run_ids: Iterable[UUID], at: datetime) -> dict[UUID, Figures]:
    """Return the same without `spark`, for many runs: it reads a thirtieth of the rows."""
    begin = at - timedelta(seconds=RECENT_SECONDS)
    rows = _rows(run_ids, begin, at)
    return {pk: replace(_figures(its, begin, at), spark=()) for pk, its in rows.items()}


def _rows(run_ids: Iterable[UUID], begin: datetime, at: datetime) -> dict[UUID, list[Traffic]]:
    rows: dict[UUID, list[Traffic]] = {pk: [] for pk in run_ids}
    for row in Traffic.objects.filter(run_id__in=list(rows), at__gte=begin, at__lte=at):
        rows[row.run_id].append(row)
    return rows


def figures_together(*, run_ids: QuerySet[Any, Any], at: datetime) -> Figures:
    """Return the same of all these runs together."""
    begin = bucket_of(at, 60) - timedelta(minutes=SPARK_MINUTES - 1)
    rows = Traffic.objects.filter(run_id__in=run_ids, at__gte=begin, at__lte=at)
    return _figures(list(rows), begin, at)


def _figures(rows: Sequence[Traffic], begin: datetime, at: datetime) -> Figures:
    # The minute ends now, so that what was just asked counts, and begins with a whole bucket.
    since = bucket_of(at, 10) - timedelta(seconds=RECENT_SECONDS - 10)
    recent = [row for row in rows if since <= row.at]
    by_class = summed(*(row.by_class for row in recent)) or [0] * len(CLASSES)
    asked = sum(by_class[1:])
    minutes = [0.0] * SPARK_MINUTES
    for row in rows:
        minutes[int((row.at - begin).total_seconds() // 60)] += sum(row.by_class[1:]) / 60
    return Figures(
        rps=asked / (at - since).total_seconds(),
        p95_ms=percentile(times_of(recent), 0.95),
        errors_percent=by_class[-1] / asked * 100 if asked else None,
        refused_percent=by_class[-2] / asked * 100 if asked else None,
        spark=tuple(minutes),
    )


@dataclass(frozen=True)
class Outcome:
    """How the calls of the last minutes ended: `refused` with 4xx, `errors` with 5xx."""

    calls: int = 0
    refused: int = 0
    errors: int = 0

    @property
    def refused_percent(self) -> float:
        return self.refused / self.calls * 100 if self.calls else 0.0

    @property
    def errors_percent(self) -> float:
        return self.errors / self.calls * 100 if self.calls else 0.0

    @property
    def is_bad(self) -> bool:
        """Whether more calls went wrong than well."""
        return self.calls > 0 and self.refused_percent + self.errors_percent > 50


def outcomes(*, run_ids: Iterable[UUID], at: datetime) -> dict[UUID, Outcome]:
    """Return how the calls of the last OUTCOME_MINUTES ended, by run."""
    rows: dict[UUID, list[Traffic]] = {pk: [] for pk in run_ids}
    since = at - timedelta(minutes=OUTCOME_MINUTES)
    for row in Traffic.objects.filter(run_id__in=rows, at__gte=since, at__lte=at):
        rows[row.run_id].append(row)
    return {pk: outcome_of(its) for pk, its in rows.items()}


def outcome_of(rows: Sequence[Traffic]) -> Outcome:
    """Return how the calls of all rows ended."""
    by_class = summed(*(row.by_class for row in rows)) or [0] * len(CLASSES)
    return Outcome(sum(by_class[1:]), refused=by_class[-2], errors=by_class[-1])


def as_numbers(found: Mapping[str, Any]) -> Series:
    """Make a series small for a chart: lists by name, times in seconds."""
    points = found["points"]
    names = ("in_flight", "held", "p50_ms", "p95_ms", "p99_ms")
    return {
        "step": found["step_seconds"],
        "range": [_seconds(found["since"]), _seconds(found["until"])],
        "at": [_seconds(point["at"]) for point in points],
        "by_class": {
            name: [point["requests"][name] / point["seconds"] for point in points]
            for name in CLASSES[1:]
        },
        **{name: [point[name] for point in points] for name in names},
        **{name: [_per_second(point, name) for point in points] for name in TOKENS},
        "replicas": {
            "at": [_seconds(level["at"]) for level in found["replicas"]],
            "wanted": [level["wanted"] for level in found["replicas"]],
            "ready": [level["ready"] for level in found["replicas"]],
        },
        "resources": [
            {"replica": each["replica"], **_columns(each["points"])} for each in found["resources"]
        ],
    }


TOKENS = ("tokens_in", "tokens_out")


def _per_second(point: Mapping[str, Any], name: str) -> float | None:
    return None if point[name] is None else point[name] / point["seconds"]


RESOURCES = (
    *("cpu_cores", "memory_bytes", "memory_limit_bytes", "disk_bytes"),
    *("gpu_percent", "gpu_memory_bytes"),
)


def _columns(points: Sequence[Mapping[str, Any] | None]) -> Series:
    return {name: [point and point[name] for point in points] for name in RESOURCES}


def _seconds(at: datetime) -> float:
    return at.astimezone(UTC).timestamp()
