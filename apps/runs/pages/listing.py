"""The list of services: the newest run of each name, a page at a time, with few queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.accounts.models import Project, User
from apps.core.http import paging
from apps.runs import queries, states
from apps.runs.models import Replica, Run

PAGE = 50
FILTERS = {
    "active": Q(state__in=states.RUN.unfinished),
    "running": Q(state__in=[states.RUNNING, states.UPDATING]),
    "failed": Q(state=states.FAILED),
    "stopped": Q(state=states.STOPPED),
}


@dataclass(frozen=True)
class Wish:
    """What the list is narrowed to; empty text means all."""

    state: str = ""
    text: str = ""
    mine: bool = False
    cursor: str = ""


@dataclass(frozen=True)
class Row:
    run: Run
    url: str
    ready: int
    cost: queries.Cost


@dataclass(frozen=True)
class Listing:
    rows: Sequence[Row]
    next_cursor: str | None


def services_of(*, project: Project, user: User, wish: Wish) -> Listing:
    """Return one page of the project's services, newest first."""
    runs = _narrowed(_newest(project), user, wish)
    page = paging.page(runs, by="-id", limit=PAGE, cursor=wish.cursor or None)
    ready = _ready(page.rows)
    costs = queries.costs(page.rows)
    rows = [Row(run, queries.run_url(run), ready[run.pk], costs[run.pk]) for run in page.rows]
    return Listing(rows, page.next_cursor)


def _newest(project: Project) -> QuerySet[Run]:
    later = Run.objects.filter(
        project=project, name=OuterRef("name"), pk__gt=OuterRef("pk"), deleted_at__isnull=True
    )
    # A run that is still there is shown, also beside its successor.
    unfinished = Q(state__in=states.RUN.unfinished)
    return queries.runs_of(project).filter(unfinished | ~Exists(later))


def _narrowed(runs: QuerySet[Run], user: User, wish: Wish) -> QuerySet[Run]:
    if wish.state in FILTERS:
        runs = runs.filter(FILTERS[wish.state])
    if wish.mine:
        runs = runs.filter(user=user)
    # PostgreSQL refuses text with NUL; no name has such a character anyway.
    text = "".join(letter for letter in wish.text if letter.isprintable())[:100]
    return runs.filter(name__icontains=text) if text else runs


def _ready(runs: Sequence[Run]) -> Counter[UUID]:
    running = Replica.objects.filter(run__in=runs, state=states.RUNNING)
    return Counter(running.values_list("run_id", flat=True))
