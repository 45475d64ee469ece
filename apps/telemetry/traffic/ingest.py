"""Taking in what gateways counted: cumulative counters in, buckets of time out.

Rule: whoever takes a look holds the lock of the gateway's feed row. A look that comes twice, or
after a later one, changes nothing; since counters are cumulative, a lost one is in the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.accounts import tokens
from apps.core import notifications
from apps.gateways.models import Gateway
from apps.runs.control import last_requests, replica_load, unanswered
from apps.runs.models import Run
from apps.telemetry.models import Counter, GatewayFeed, KeyUse, RequestTotal, Traffic
from apps.telemetry.traffic import callers, histograms, live_points
from apps.telemetry.traffic.points import Point
from gateway import schema

BUCKET_SECONDS = 10
# What a gateway kept while we were away still comes; older looks count as of then.
OLDEST_LOOK = timedelta(hours=1)
FRESH = timedelta(seconds=5)
COUNTS, LATENCY, FIRST_BYTE = "counts", "latency", "first_byte"
# Kinds of counters that are pairs of a histogram, each with the coarse one that it takes over from.
FINE = {"total_us": LATENCY, "first_us": FIRST_BYTE}
CLASSES = 5
MOST_UNANSWERED = 200
BUCKETS = len(schema.LATENCY_BOUNDS_MS) + 1
FINE_BUCKETS = len(schema.LATENCY_BOUNDS_US) + 1
# What a column holds, with room for sums.
MOST = 2**52

Numbers = list[int]


@dataclass
class News:
    """What a look adds for one run."""

    counts: dict[int, Numbers] = field(default_factory=dict)
    # Histograms by the kind of their counter.
    times: dict[str, Numbers] = field(default_factory=dict)
    in_flight: int = 0
    held: int = 0
    replicas: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> Numbers:
        return summed(*self.counts.values()) or [0] * (CLASSES + 5)

    @property
    def answered(self) -> int:
        # 1xx answers are followed by another one.
        return sum(self.total[1:CLASSES])

    @property
    def is_bad(self) -> bool:
        """Whether requests failed, or wait."""
        return bool(self.total[CLASSES - 1] or self.held)

    @property
    def is_busy(self) -> bool:
        return bool(self.answered or self.in_flight or self.held)


def summed(*many: Sequence[int]) -> Numbers:
    """Add lists of numbers place by place; a shorter one has zeros."""
    longest = max(map(len, many), default=0)
    padded = [[*numbers, *[0] * (longest - len(numbers))] for numbers in many]
    return [sum(place) for place in zip(*padded, strict=True)]


def take(*, gateway: Gateway, stats: schema.Stats, at: datetime) -> bool:
    """Store what is new in a look; False means that it is known already.

    Only runs that are published on the gateway count: it cannot speak for another's.
    """
    looked_at = _looked_at(stats, at)
    with transaction.atomic():
        GatewayFeed.objects.get_or_create(gateway=gateway)
        feed = GatewayFeed.objects.select_for_update().get(gateway=gateway)
        is_new_boot = feed.boot_id != stats.boot_id
        if not is_new_boot and stats.sequence <= feed.sequence:
            return False
        seconds = _seconds_since(feed, looked_at)
        news = _news(gateway, stats, fresh=is_new_boot, at=at)
        _add_to_buckets(news, looked_at)
        _add_to_keys(news, looked_at)
        _add_to_totals(news, looked_at)
        _take_unanswered(gateway, stats, at=at)
        feed.boot_id, feed.sequence = stats.boot_id, stats.sequence
        feed.looked_at, feed.span_seconds = looked_at, seconds
        feed.save()
    tokens.note_uses(ids={pk for each in news.values() for pk in each.counts if pk}, at=looked_at)
    _tell(gateway, news, looked_at, seconds)
    busy = [pk for pk, each in news.items() if each.is_busy]
    if busy and at - looked_at < FRESH:
        # Whoever scales need not wait for its next round.
        notifications.transitioned("endpoint", "counted", busy)
    return True


def _looked_at(stats: schema.Stats, at: datetime) -> datetime:
    oldest = at - OLDEST_LOOK
    seconds = min(max(stats.at, oldest.timestamp()), at.timestamp())
    return datetime.fromtimestamp(seconds, UTC)


def _seconds_since(feed: GatewayFeed, looked_at: datetime) -> float | None:
    """None for a gateway's first look ever: what it counted before is no rate.

    A large look comes in parts, which have one time.
    """
    if feed.looked_at is None or feed.looked_at == looked_at:
        return feed.span_seconds
    return max((looked_at - feed.looked_at).total_seconds(), 0.05)


def _news(gateway: Gateway, stats: schema.Stats, *, fresh: bool, at: datetime) -> dict[UUID, News]:
    named = {one.endpoint for many in (stats.counts, stats.load, stats.latency) for one in many}
    recent = Q(finished_at=None) | Q(finished_at__gt=at - OLDEST_LOOK)
    runs = Run.objects.filter(recent, gateway=gateway, pk__in=_uuids(named))
    projects = {str(pk): project for pk, project in runs.values_list("pk", "project_id")}
    news = {ref: News() for ref in projects}
    for load in stats.load:
        if load.endpoint in news:
            news[load.endpoint].in_flight = _count(load.in_flight)
            news[load.endpoint].held = _count(load.held)
            news[load.endpoint].replicas = load.replicas
    said = _said(stats, projects)
    if fresh:
        Counter.objects.filter(gateway=gateway).delete()
    for (ref, token_id, kind), values in _fresh(gateway, said).items():
        if kind == COUNTS:
            news[ref].counts[token_id] = values
        else:
            news[ref].times[kind] = values
    return {UUID(ref): each for ref, each in news.items()}


def _uuids(texts: Iterable[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue  # no run of ours is called so
    return found


Key = tuple[str, int, str]


def _said(stats: schema.Stats, projects: dict[str, int]) -> dict[Key, Numbers]:
    """The counters of a look. A key that may not call the run's project counts as none."""
    known = callers.known({one.key for one in stats.counts}, projects.values())
    said: dict[Key, Numbers] = {}
    for one in stats.counts:
        if one.endpoint not in projects:
            continue
        token_id = int(one.key) if (one.key, projects[one.endpoint]) in known else 0
        numbers = [*one.by_class, one.bytes_in, one.bytes_out, one.tokens_in, one.tokens_out]
        numbers.append(one.usages)
        place = (one.endpoint, token_id, COUNTS)
        said[place] = summed(said.get(place, []), [*map(_count, numbers)])
    for spent in stats.latency:
        if spent.endpoint in projects:
            said |= {(spent.endpoint, 0, kind): times for kind, times in _times(spent)}
    return said


def _times(spent: schema.Latency) -> Iterator[tuple[str, Numbers]]:
    for kind, fine, coarse in (
        ("total_us", spent.fine_total, spent.total),
        ("first_us", spent.fine_first_byte, spent.first_byte),
    ):
        if fine is None:
            yield FINE[kind], [*map(_count, coarse[:BUCKETS])]
        else:
            sound = {index: _count(n) for index, n in fine.items() if 0 <= index < FINE_BUCKETS}
            yield kind, histograms.pairs(sound)


def _count(number: int) -> int:
    return min(max(number, 0), MOST)


def _fresh(gateway: Gateway, said: dict[Key, Numbers]) -> dict[Key, Numbers]:
    """What counters grew by. One that fell began again at zero, as a counter in Prometheus."""
    refs = {ref for ref, _, _ in said}
    rows = Counter.objects.filter(gateway=gateway, run_id__in=refs)
    before = {(str(row.run_id), row.token_id, row.kind): row.values for row in rows}
    grown: dict[Key, Numbers] = {}
    for key, values in said.items():
        grown[key] = _grown(key, values, before)
    changed = [key for key, values in said.items() if before.get(key) != values]
    Counter.objects.bulk_create(
        [
            Counter(gateway=gateway, run_id=ref, token_id=token_id, kind=kind, values=said[key])
            for key in changed
            for ref, token_id, kind in [key]
        ],
        update_conflicts=True,
        unique_fields=["gateway", "run_id", "token_id", "kind"],
        update_fields=["values"],
    )
    return {key: values for key, values in grown.items() if any(values)}


def _grown(key: Key, values: Numbers, before: Mapping[Key, Numbers]) -> Numbers:
    ref, token_id, kind = key
    old = before.get(key, [])
    if kind not in FINE:
        new = summed([-value for value in old], values)
        return values if any(number < 0 for number in new) else new
    if key not in before and (ref, token_id, FINE[kind]) in before:
        # We are newer than its last look, which counted the same coarsely: this one says where it
        # stands.
        return []
    return histograms.grown(old, values)


def _add_to_buckets(news: dict[UUID, News], looked_at: datetime) -> None:
    # Read, added up and written whole, in two statements for all runs: the feed is locked, and a
    # run is on one gateway.
    begin = bucket_of(looked_at, BUCKET_SECONDS)
    rows = Traffic.objects.filter(seconds=BUCKET_SECONDS, at=begin, run_id__in=news)
    known = {row.run_id: row for row in rows}
    added = []
    for pk, each in news.items():
        row = known.get(pk) or Traffic(run_id=pk, seconds=BUCKET_SECONDS, at=begin)
        _add(row, each)
        row.pk = None
        added.append(row)
    Traffic.objects.bulk_create(
        added,
        update_conflicts=True,
        unique_fields=["run_id", "seconds", "at"],
        update_fields=ADDED,
    )


ADDED = (
    *("by_class", "bytes_in", "bytes_out", "usages", "tokens_in", "tokens_out"),
    *("latency", "first_byte"),
    *("total_us", "first_us", "in_flight_max", "held_max"),
)


def _add(row: Traffic, each: News) -> None:
    total = each.total
    row.by_class = summed(row.by_class, total[:CLASSES])
    row.bytes_in += total[CLASSES]
    row.bytes_out += total[CLASSES + 1]
    row.tokens_in += total[CLASSES + 2]
    row.tokens_out += total[CLASSES + 3]
    row.usages += total[CLASSES + 4]
    for kind, times in each.times.items():
        add = histograms.added if kind in FINE else summed
        setattr(row, kind, add(getattr(row, kind), times))
    row.in_flight_max = max(row.in_flight_max, each.in_flight)
    row.held_max = max(row.held_max, each.held)


def bucket_of(at: datetime, seconds: int) -> datetime:
    """Return the begin of the bucket that `at` lies in."""
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def _add_to_keys(news: dict[UUID, News], looked_at: datetime) -> None:
    hour = bucket_of(looked_at, 3600)
    known = {
        (row.run_id, row.token_id): row for row in KeyUse.objects.filter(hour=hour, run_id__in=news)
    }
    added = []
    for pk, each in news.items():
        for key, values in each.counts.items():
            row = known.get((pk, key)) or KeyUse(run_id=pk, token_id=key, hour=hour)
            row.requests += sum(values[1:CLASSES])
            row.errors += values[CLASSES - 1]
            row.bytes_out += values[CLASSES + 1]
            row.tokens_in += values[CLASSES + 2]
            row.tokens_out += values[CLASSES + 3]
            row.pk = None
            added.append(row)
    KeyUse.objects.bulk_create(
        added,
        update_conflicts=True,
        unique_fields=["run_id", "token_id", "hour"],
        update_fields=["requests", "errors", "bytes_out", "tokens_in", "tokens_out"],
    )


def _add_to_totals(news: dict[UUID, News], looked_at: datetime) -> None:
    known = RequestTotal.objects.in_bulk(news)
    added = []
    for pk, each in news.items():
        if each.answered or each.is_bad:
            row = known.get(pk) or RequestTotal(run_id=pk)
            row.requests += each.answered
            row.bad_at = looked_at if each.is_bad else row.bad_at
            added.append(row)
    RequestTotal.objects.bulk_create(
        added,
        update_conflicts=True,
        unique_fields=["run_id"],
        update_fields=["requests", "bad_at"],
    )


def _take_unanswered(gateway: Gateway, stats: schema.Stats, *, at: datetime) -> None:
    said: dict[UUID, list[last_requests.Request]] = defaultdict(list)
    for each in stats.unanswered[-MOST_UNANSWERED:]:
        for pk in _uuids([each.replica]):
            said[pk].append(last_requests.request(each.at, each.method, each.path))
    unanswered.take(gateway=gateway, said=said, at=at)


def _tell(
    gateway: Gateway, news: dict[UUID, News], looked_at: datetime, seconds: float | None
) -> None:
    replica_load.note({pk: each.replicas for pk, each in news.items() if each.replicas})
    at = looked_at.timestamp()
    points = {
        pk: Point(
            at=at,
            seconds=seconds or 1.0,
            answered=each.answered if seconds else 0,
            in_flight=each.in_flight,
            held=each.held,
        )
        for pk, each in news.items()
    }
    live_points.add(gateway_id=gateway.pk, look=Point(at, seconds or 1.0), points=points)
