"""Single requests of a run, as the API and its page show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from apps.accounts.models import Token
from apps.runs.models import Run
from apps.telemetry.models import ServedRequest, Traffic
from apps.telemetry.requests.failed import FAILED

NEWEST, SLOWEST = "newest", "slowest"
ORDERS = (NEWEST, SLOWEST)
STATUSES = ("2xx", "3xx", "4xx", "5xx", "failed")
SLOW_FOR = timedelta(hours=1)
# Requests are told with the counts; a bucket of those begins up to 10 s before.
TOLD_WITHIN = timedelta(seconds=30)
BROWSER, GONE = "a browser", "a deleted key"


@dataclass(frozen=True)
class Wanted:
    """Which requests: `status` is a class of answers or "failed", `request_id` a whole id."""

    order: str = NEWEST
    status: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Served:
    """A request with the name of its caller's key; empty where it had none."""

    row: ServedRequest
    key: str


def is_on() -> bool:
    return bool(settings.DSTACK_REQUEST_HOURS)


def find(*, run: Run, wanted: Wanted, limit: int, at: datetime) -> list[Served]:
    """Return the newest first, or the slowest of the last hour, slowest first."""
    rows = ServedRequest.objects.filter(run_id=run.pk)
    if wanted.request_id:
        rows = rows.filter(request_id=wanted.request_id)
    if wanted.status == "failed":
        rows = rows.filter(FAILED)
    elif wanted.status:
        first = int(wanted.status[0]) * 100
        rows = rows.filter(status__gte=first, status__lt=first + 100)
    if wanted.order == SLOWEST:
        rows = rows.filter(at__gt=at - SLOW_FOR).order_by("-total_ms", "-pk")
    else:
        rows = rows.order_by("-at", "-pk")
    found = list(rows[:limit])
    names = _names(found)
    return [Served(row, _key(row, names)) for row in found]


def _names(rows: Sequence[ServedRequest]) -> dict[int, str]:
    ids = {row.token_id for row in rows if row.token_id}
    return dict(Token.objects.filter(pk__in=ids).values_list("pk", "name"))


def _key(row: ServedRequest, names: dict[int, str]) -> str:
    if row.by_browser:
        return BROWSER
    return names.get(row.token_id, GONE) if row.token_id else ""


def is_untold(run: Run, *, at: datetime) -> bool:
    """Tell whether its gateway counts requests and tells none: one of an earlier version."""
    if ServedRequest.objects.filter(run_id=run.pk).exists():
        return False
    counted = Traffic.objects.filter(run_id=run.pk, at__gt=at - SLOW_FOR, at__lt=at - TOLD_WITHIN)
    return any(sum(classes) for classes in counted.values_list("by_class", flat=True))


def one_in(run: Run, *, rows: int = 200) -> int:
    """Return of how many requests one is told, among the newest; 1 where all are."""
    newest = ServedRequest.objects.filter(run_id=run.pk).order_by("-at", "-pk")
    weights = list(newest.values_list("weight", flat=True)[:rows])
    return max(round(sum(weights) / len(weights)), 1) if weights else 1
