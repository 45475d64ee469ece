"""Keeping single requests: those that a gateway tells, as many as a run may have, for a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from apps.core import retention
from apps.gateways.models import Gateway
from apps.runs.models import Replica, Run
from apps.telemetry.models import ServedRequest
from apps.telemetry.requests.failed import FAILED
from apps.telemetry.traffic import callers
from gateway import schema

# Of one look, and of one run after each pruning: the newest, and those that are worth more.
MOST_AT_ONCE = 2000
KEPT_NEWEST, KEPT_FAILED, KEPT_SLOWEST = 2000, 500, 50
SLOW_FOR = timedelta(hours=1)
OLDEST = timedelta(hours=1)
# A service opened in the browser, and a chat of the playground.
BROWSER = ("browser-", "chat-")
MOST_MS = 1e12
MOST_WHOLE = 2**52


def take(*, gateway: Gateway, requests: Sequence[schema.Request], at: datetime) -> int:
    """Keep what a gateway tells of runs that are published on it. Return how many there were."""
    if not settings.DSTACK_REQUEST_HOURS or not requests:
        return 0
    told = requests[-MOST_AT_ONCE:]
    recent = Q(finished_at=None) | Q(finished_at__gt=at - OLDEST)
    named = Run.objects.filter(recent, gateway=gateway, pk__in=_uuids(e.endpoint for e in told))
    projects = {str(pk): project for pk, project in named.values_list("pk", "project_id")}
    ours = [each for each in told if each.endpoint in projects]
    known = callers.known({each.key for each in ours}, projects.values())
    numbers = _numbers(ours, projects)
    rows = [
        _row(
            each,
            at=at,
            token_id=int(each.key) if (each.key, projects[each.endpoint]) in known else None,
            replica_num=numbers.get((each.endpoint, each.replica)),
        )
        for each in ours
    ]
    return len(ServedRequest.objects.bulk_create(rows))


def _uuids(texts: Iterable[str]) -> set[UUID]:
    found = set()
    for text in texts:
        try:
            found.add(UUID(text))
        except ValueError:
            continue  # nothing of ours is called so
    return found


def _numbers(told: Iterable[schema.Request], runs: Iterable[str]) -> dict[tuple[str, str], int]:
    """Numbers of replicas, by run and id: a gateway names none of another run's."""
    ids = _uuids(each.replica for each in told)
    found = Replica.objects.filter(pk__in=ids, run_id__in=_uuids(runs))
    return {(str(run), str(pk)): num for pk, run, num in found.values_list("pk", "run_id", "num")}


def _row(
    told: schema.Request, *, at: datetime, token_id: int | None, replica_num: int | None
) -> ServedRequest:
    seconds = min(max(told.at, (at - OLDEST).timestamp()), at.timestamp())
    return ServedRequest(
        run_id=UUID(told.endpoint),
        at=datetime.fromtimestamp(seconds, UTC),
        request_id=visible(told.id),
        method=visible(told.method),
        path=visible(told.path),
        status=min(max(told.status, 0), 999),
        ended=visible(told.ended),
        token_id=token_id,
        by_browser=told.key.startswith(BROWSER),
        replica_num=replica_num,
        held_ms=_ms(told.held_ms),
        first_byte_ms=None if told.first_byte_ms is None else _ms(told.first_byte_ms),
        total_ms=_ms(told.total_ms),
        tokens_in=None if told.tokens_in is None else _whole(told.tokens_in),
        tokens_out=None if told.tokens_out is None else _whole(told.tokens_out),
        weight=_whole(told.weight),
    )


def visible(text: str) -> str:
    """Return a caller's words without what is not visible ASCII, whatever the gateway let pass."""
    return "".join(char for char in text if "!" <= char <= "~")


def _ms(number: float) -> float:
    return min(max(number, 0.0), MOST_MS)


def _whole(number: int) -> int:
    return min(max(number, 0), MOST_WHOLE)


def prune(*, at: datetime) -> int:
    """Delete what is too old, and of each run what is too much. Return how many there were."""
    begin = at - timedelta(hours=settings.DSTACK_REQUEST_HOURS)
    gone = retention.delete(ServedRequest.objects.filter(at__lt=begin))
    runs = ServedRequest.objects.order_by().values_list("run_id", flat=True).distinct()
    return gone + sum(_trim(run_id, at) for run_id in list(runs))


def _trim(run_id: UUID, at: datetime) -> int:
    rows = ServedRequest.objects.filter(run_id=run_id)
    newest = rows.order_by("-at", "-pk")
    oldest = newest.values_list("at", flat=True)[KEPT_NEWEST - 1 : KEPT_NEWEST].first()
    if oldest is None:
        return 0
    slow = rows.filter(at__gt=at - SLOW_FOR).order_by("-total_ms", "-pk")[:KEPT_SLOWEST]
    failed = newest.filter(FAILED)[:KEPT_FAILED]
    kept = {*slow.values_list("pk", flat=True), *failed.values_list("pk", flat=True)}
    return retention.delete(rows.filter(at__lt=oldest).exclude(pk__in=kept))
