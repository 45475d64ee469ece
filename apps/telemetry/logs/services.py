"""The verbs of logs: take in, bound, prune.

Rule: whoever writes to a run's log holds the lock of its RunLog row, which orders the chunks of the
run and makes two senders of the same lines harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Sum
from django.utils import timezone

from apps.agent import wire
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.instances.models import Workload
from apps.runs.models import Run
from apps.telemetry.logs.lines import fresh, pack
from apps.telemetry.models import LogChunk, LogSource, RunLog

PRUNE_BATCH = 1000
# So many at most with one batch of new lines; the next one goes on where that is not enough.
DROP_BATCH = 5000
# A log that reached its limit is cut a little below it, not again with every batch.
KEPT_SHARE = 0.95


def ingest(
    *, instance_id: UUID, batch: wire.LogBatch, at: datetime | None = None
) -> wire.LogReceipt:
    """Store the lines of the instance's own workloads and say what comes next.

    Lines that are stored already are ignored, so a batch may come twice, also at the same moment.
    Lines of workloads that are not the instance's are acknowledged and forgotten: nobody can want
    them, and the agent would send them for ever.
    """
    at = at or timezone.now()
    logs = {log.id: log for log in batch.logs}
    with transaction.atomic():
        sources = _sources(instance_id, logs)
        chunks = [
            chunk
            for source in sources.values()
            if (chunk := _chunk(source, logs[str(source.workload_id)].lines, at=at))
        ]
        LogChunk.objects.bulk_create(chunks)
        LogSource.objects.bulk_update(sources.values(), ["next_seq"])
        for run_id in {chunk.run_id for chunk in chunks}:
            _grow(run_id, [chunk for chunk in chunks if chunk.run_id == run_id], at=at)
    known = {str(source.workload_id): source.next_seq for source in sources.values()}
    return wire.LogReceipt({name: known.get(name, _after(log)) for name, log in logs.items()})


def _after(log: wire.WorkloadLog) -> int:
    lines = fresh(log.lines, next_seq=0)
    return lines[-1].seq + 1 if lines else 0


def _sources(instance_id: UUID, logs: Mapping[str, wire.WorkloadLog]) -> dict[UUID, LogSource]:
    """The sources of the instance's workloads; the logs of their runs are locked."""
    own = Workload.objects.filter(instance_id=instance_id, pk__in=_uuids(logs))
    found = list(own.values_list("pk", "run_id", "replica__num"))
    _lock({run_id for _, run_id, _ in found})
    known = LogSource.objects.in_bulk([pk for pk, _, _ in found])
    new = [
        LogSource(workload_id=pk, run_id=run_id, replica_num=num or 0)
        for pk, run_id, num in found
        if pk not in known
    ]
    return known | {source.workload_id: source for source in LogSource.objects.bulk_create(new)}


def _uuids(texts: Iterable[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue  # no workload of ours is called so
    return [pk for pk in found if str(pk) in texts]


def _lock(run_ids: Iterable[UUID]) -> None:
    # In order, so that two batches for the same runs cannot wait for each other.
    ordered = sorted(run_ids)
    RunLog.objects.bulk_create([RunLog(run_id=pk) for pk in ordered], ignore_conflicts=True)
    rows = RunLog.objects.select_for_update().filter(pk__in=ordered).order_by("pk")
    list(rows.values_list("pk"))


def _chunk(source: LogSource, lines: Sequence[wire.LogLine], *, at: datetime) -> LogChunk | None:
    packed = pack(lines, next_seq=source.next_seq, at=at)
    if packed is None:
        return None
    source.next_seq = packed.next_seq
    return LogChunk(
        run_id=source.run_id,
        workload_id=source.workload_id,
        replica_num=source.replica_num,
        first_seq=packed.first_seq,
        last_seq=packed.next_seq - 1,
        text=packed.text,
        offsets_ms=packed.offsets_ms,
        size_bytes=packed.size_bytes,
        first_at=packed.first_at,
        last_at=packed.last_at,
    )


def _grow(run_id: UUID, chunks: Sequence[LogChunk], *, at: datetime) -> None:
    log = RunLog.objects.get(pk=run_id)
    log.size_bytes += sum(chunk.size_bytes for chunk in chunks)
    log.updated_at = at
    if log.size_bytes > settings.DSTACK_LOG_BYTES_PER_RUN:
        _drop_oldest(log)
    log.save()
    replicas = sorted({chunk.replica_num for chunk in chunks})
    after_commit(notifications.publish, f"logs:{run_id}", {"replicas": replicas})


def _drop_oldest(log: RunLog) -> None:
    """Drop chunks until the log fits again; the newest stays, whatever its size."""
    excess = log.size_bytes - int(settings.DSTACK_LOG_BYTES_PER_RUN * KEPT_SHARE)
    chunks = LogChunk.objects.filter(run_id=log.run_id).order_by("id")
    newest = chunks.values_list("pk", flat=True).last()
    doomed: list[int] = []
    for pk, size in chunks.exclude(pk=newest or 0).values_list("pk", "size_bytes")[:DROP_BATCH]:
        if excess <= 0:
            break
        doomed.append(pk)
        excess -= size
    for dropped in _delete(doomed):
        log.size_bytes -= dropped.size_bytes
        log.dropped_lines += dropped.lines


@dataclass(frozen=True)
class Dropped:
    run_id: UUID
    size_bytes: int
    lines: int


def _delete(ids: Sequence[int]) -> list[Dropped]:
    doomed = LogChunk.objects.filter(pk__in=ids)
    lines = Sum(F("last_seq") - F("first_seq") + 1)
    sums = doomed.values_list("run_id").annotate(size=Sum("size_bytes"), lines=lines)
    dropped = [Dropped(*row) for row in sums]
    doomed.delete()
    return dropped


def prune(*, at: datetime) -> int:
    """Delete lines older than DSTACK_LOG_DAYS, in short transactions.

    Return the number of chunks that are gone. Two at once are harmless.
    """
    before = at - timedelta(days=settings.DSTACK_LOG_DAYS)
    gone = 0
    while ids := _oldest(before):
        gone += _prune_batch(ids)
    _forget(before)
    return gone


def _oldest(before: datetime) -> list[int]:
    old = LogChunk.objects.filter(last_at__lt=before).order_by("last_at")
    return list(old.values_list("pk", flat=True)[:PRUNE_BATCH])


def _prune_batch(ids: Sequence[int]) -> int:
    with transaction.atomic():
        runs = LogChunk.objects.filter(pk__in=ids).values_list("run_id", flat=True).distinct()
        _lock(runs)
        count: int = LogChunk.objects.filter(pk__in=ids).aggregate(count=Count("pk"))["count"]
        for dropped in _delete(ids):
            RunLog.objects.filter(pk=dropped.run_id).update(
                size_bytes=F("size_bytes") - dropped.size_bytes,
                dropped_lines=F("dropped_lines") + dropped.lines,
            )
    return count


def _forget(before: datetime) -> None:
    """Forget how far the sources of long finished runs had come: nobody sends to them any more."""
    unfinished = Run.objects.filter(state__in=Run.state_machine.unfinished).values("pk")
    quiet = RunLog.objects.filter(updated_at__lt=before, size_bytes__lte=0).exclude(
        pk__in=unfinished
    )
    with transaction.atomic():
        ids = list(
            quiet.select_for_update(skip_locked=True).values_list("pk", flat=True)[:PRUNE_BATCH]
        )
        LogSource.objects.filter(run_id__in=ids).delete()
        RunLog.objects.filter(pk__in=ids).delete()
