"""Every read of logs. A cursor names a line: what comes after it is read on from there.

Chunks of a run become visible in the order of their ids (see services), so going on after the
newest line that was read misses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Collate, Lower, StrIndex
from django.utils import timezone

from apps.core.errors import Detail, Invalid
from apps.runs.models import Run
from apps.specs.errors import Misfit
from apps.specs.fields import durations
from apps.telemetry.logs import levels, terminal
from apps.telemetry.models import LogChunk, RunLog

# A few chunks at a time (some hundred lines each), so that a long log is never in memory whole.
CHUNKS = 20
PAGE_LINES = 2000
PAGE_BYTES = 2 * 2**20
CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,9})", re.ASCII)
END_OF_CHUNK = 10**9 - 1


@dataclass(frozen=True)
class Line:
    """One line of a replica's output; `cursor` is where to go on after it."""

    time: datetime
    replica: int
    text: str
    cursor: str


@dataclass(frozen=True)
class Filter:
    """Which lines: of one replica, from a time on, holding a text (case of a-z ignored), and of a
    `level`, "warning" for warnings and errors, "error" for errors alone. Replicas after one another
    may have the same number; `workload` is of one of them alone."""

    replica: int | None = None
    since: datetime | None = None
    grep: str = ""
    level: str = ""
    workload: UUID | None = None


@dataclass(frozen=True)
class Reading:
    """Lines in order of arrival; `cursor` is behind everything that was looked at, and `complete`
    says that nothing was left when it was read."""

    lines: list[Line]
    cursor: str
    complete: bool


EVERYTHING = Filter()


def read(
    *,
    run: Run,
    cursor: str | None = None,
    replica: int | None = None,
    since: datetime | None = None,
    grep: str = "",
    limit: int = PAGE_LINES,
) -> list[Line]:
    """Return up to `limit` lines after `cursor` (None: from the beginning).

    Raise Invalid for a cursor that is none.
    """
    wanted = Filter(replica, since, grep)
    found: list[Line] = []
    while len(found) < limit:
        left = min(limit - len(found), PAGE_LINES)
        page = scan(run=run, cursor=cursor, wanted=wanted, limit=left)
        found += page.lines
        cursor = page.cursor
        if page.complete:
            break
    return found


def scan(
    *, run: Run, cursor: str | None, wanted: Filter = EVERYTHING, limit: int = PAGE_LINES
) -> Reading:
    """Read one page: up to `limit` lines or about 2 MB. Raise Invalid."""
    chunk_id, index = _place(cursor)
    chunks = _chunks(run.pk, wanted)
    newest = _newest_id(run)
    found = _dropped_note(run) if cursor is None and wanted == EVERYTHING else []
    size = 0
    for chunk in _from(chunks.filter(pk__lte=newest), chunk_id):
        after = index if chunk.pk == chunk_id else -1
        found += _lines(chunk, wanted, after=after)
        size += chunk.size_bytes
        if len(found) >= limit or size >= PAGE_BYTES:
            return _cut(found, chunk, limit)
    return Reading(found, f"{max(newest, chunk_id)}-{END_OF_CHUNK}", complete=True)


def tail(*, run: Run, wanted: Filter = EVERYTHING, limit: int = 200) -> list[Line]:
    """Return the newest `limit` lines that fit, oldest first."""
    return _newest(_chunks(run.pk, wanted), wanted, limit)


def newest(*, run_id: UUID, limit: int) -> list[Line]:
    """Return the newest lines of what is no run and writes all the same: a gateway."""
    return _newest(_chunks(run_id, EVERYTHING), EVERYTHING, limit)


def _newest(chunks: QuerySet[LogChunk], wanted: Filter, limit: int) -> list[Line]:
    found: list[Line] = []
    for chunk in _backwards(chunks):
        found = _lines(chunk, wanted) + found
        if len(found) >= limit:
            break
    return found[-limit:] if limit > 0 else []


def begin_of_tail(*, run: Run, wanted: Filter, count: int) -> str | None:
    """Return the cursor after which the newest `count` lines that fit lie, None where all do."""
    newest = _newest_id(run)
    left = count
    if left == 0:
        return f"{newest}-{END_OF_CHUNK}"
    for chunk in _backwards(_chunks(run.pk, wanted).filter(pk__lte=newest)):
        found = _lines(chunk, wanted)
        if len(found) >= left:
            return _before(found[-left].cursor)
        left -= len(found)
    return None


def _before(cursor: str) -> str:
    chunk_id, index = _place(cursor)
    return f"{chunk_id}-{index - 1}" if index else f"{chunk_id - 1}-{END_OF_CHUNK}"


def since(text: str | None, *, at: datetime | None = None) -> datetime | None:
    """Read "10m" or an RFC 3339 time. Raise Invalid."""
    if not text:
        return None
    try:
        return (at or timezone.now()) - timedelta(seconds=durations.seconds(text))
    except Misfit:
        pass
    try:
        time = datetime.fromisoformat(text.strip())
        return time if time.tzinfo else timezone.make_aware(time)
    except (ValueError, OverflowError) as error:
        problem = f"must be like 10m or 2030-01-31T00:00:00Z, found {text[:40]!r}"
        raise Invalid(f"since {problem}.", details=[Detail("since", problem)]) from error


def check_cursor(cursor: str | None) -> None:
    """Raise Invalid for what is no cursor."""
    _place(cursor)


def _place(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return 0, -1
    match = CURSOR.fullmatch(cursor)
    if match is None:
        problem = "must be the cursor of a line"
        raise Invalid(f"cursor {problem}.", details=[Detail("cursor", problem)])
    return int(match[1]), int(match[2])


def _newest_id(run: Run) -> int:
    newest = LogChunk.objects.filter(run_id=run.pk).order_by("-id").values_list("pk", flat=True)
    return newest.first() or 0


def _chunks(run_id: UUID, wanted: Filter) -> QuerySet[LogChunk]:
    chunks = LogChunk.objects.filter(run_id=run_id)
    if wanted.replica is not None:
        chunks = chunks.filter(replica_num=wanted.replica)
    if wanted.workload is not None:
        chunks = chunks.filter(workload_id=wanted.workload)
    if wanted.since is not None:
        chunks = chunks.filter(last_at__gte=wanted.since)
    if wanted.level:
        chunks = chunks.filter(text__iregex=levels.HINTS)
    if wanted.grep:
        # In the "C" collation lower() folds a-z only, at three times the speed.
        folded = Lower(Collate("text", "C"))
        place = StrIndex(folded, Value(_fold(wanted.grep).decode()))
        chunks = chunks.alias(place=place).filter(place__gt=0)
    return chunks


def _from(chunks: QuerySet[LogChunk], first_id: int) -> Iterator[LogChunk]:
    least = first_id
    while page := list(chunks.filter(pk__gte=least).order_by("pk")[:CHUNKS]):
        yield from page
        least = page[-1].pk + 1


def _backwards(chunks: QuerySet[LogChunk]) -> Iterator[LogChunk]:
    below = Q()
    while page := list(chunks.filter(below).order_by("-pk")[:CHUNKS]):
        yield from page
        below = Q(pk__lt=page[-1].pk)


def _lines(chunk: LogChunk, wanted: Filter, *, after: int = -1) -> list[Line]:
    """The wanted lines behind index `after`."""
    texts, first_at, offsets = chunk.text.split("\n"), chunk.first_at, chunk.offsets_ms
    found = []
    for index in _matching(chunk.text, len(texts), wanted.grep):
        time = first_at + timedelta(milliseconds=offsets[index])
        if index > after and _fits(texts[index], time, wanted):
            found.append(Line(time, chunk.replica_num, texts[index], f"{chunk.pk}-{index}"))
    return found


def _fits(text: str, time: datetime, wanted: Filter) -> bool:
    if wanted.since is not None and time < wanted.since:
        return False
    return not wanted.level or levels.of(terminal.plain(text)) in levels.SHOWN[wanted.level]


def _matching(text: str, count: int, grep: str) -> Sequence[int]:
    if not grep:
        return range(count)
    folded = _fold(grep)
    return [index for index, line in enumerate(_fold(text).split(b"\n")) if folded in line]


def _fold(text: str) -> bytes:
    # bytes.lower() folds a-z only, as the database does, which cannot hold NUL.
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").lower()


def _cut(found: list[Line], last: LogChunk, limit: int) -> Reading:
    if len(found) > limit:
        found = found[:limit]
        return Reading(found, found[-1].cursor, complete=False)
    return Reading(found, f"{last.pk}-{END_OF_CHUNK}", complete=False)


def _dropped_note(run: Run) -> list[Line]:
    log = RunLog.objects.filter(pk=run.pk, dropped_lines__gt=0).first()
    first = LogChunk.objects.filter(run_id=run.pk).order_by("pk").first()
    if log is None:
        return []
    text = f"[dstack: {log.dropped_lines:,} older lines were dropped: the log was too long or old]"
    time, replica = (first.first_at, first.replica_num) if first else (log.updated_at, 0)
    return [Line(time, replica, text, "0-0")]
