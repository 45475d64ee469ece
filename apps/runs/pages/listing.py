"""The list of services: the newest run of each name, a page at a time, with few queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.expressions import OrderBy
from django.db.models.functions import Lower
from django.utils import timezone

from apps.accounts.models import Project, User
from apps.instances.costs import queries as spent
from apps.runs import queries, states
from apps.runs.models import Replica, Run
from apps.runs.pages import attention, load, ordering, trouble
from apps.runs.pages.ordering import Order

PAGE = 50
# What the state alone tells, as chips; `look` asks for more.
LOOK = "look"
FILTERS = {
    "running": Q(state__in=[states.RUNNING, states.UPDATING]),
    "starting": Q(state__in=[states.SUBMITTED, states.PROVISIONING]),
    "asleep": Q(state=states.IDLE),
    "failed": Q(state=states.FAILED),
    "stopped": Q(state__in=[states.STOPPING, states.STOPPED]),
    "active": Q(state__in=states.RUN.unfinished),
}
NOTICED = ~Q(notice="") & Q(state__in=queries.ACTIVE_RUNS)


@dataclass(frozen=True)
class Wish:
    """What the list is narrowed to, and how it is ordered; empty text means all."""

    state: str = ""
    text: str = ""
    mine: bool = False
    backend: str = ""
    order: Order = field(default_factory=Order)
    page: int = 1


@dataclass(frozen=True)
class Cost:
    """What a run costs an hour now, and what it cost so far."""

    now_usd_per_hour: Decimal
    total_usd: Decimal


@dataclass(frozen=True)
class Row:
    """`why` it needs a look, "" where it needs none."""

    run: Run
    url: str
    ready: int
    cost: Cost
    why: str = ""


@dataclass(frozen=True)
class Listing:
    """`counts` has how many there are of each filter ("" of all), whichever is chosen; `first` and
    `last` number the rows of this page among `total`."""

    rows: Sequence[Row]
    counts: Mapping[str, int]
    total: int
    page: int
    first: int
    last: int

    @property
    def earlier(self) -> int | None:
        return self.page - 1 if self.page > 1 else None

    @property
    def later(self) -> int | None:
        return self.page + 1 if self.last < self.total else None


def services_of(*, project: Project, user: User, wish: Wish) -> Listing:
    """Return one page of the project's services, those that need a look first."""
    reasons = trouble.reasons(project)
    look = FILTERS["failed"] | NOTICED | Q(pk__in=reasons)
    runs = _narrowed(newest(project), user, wish)
    shown, counts, page = _page(runs, look, wish, project)
    rows = _rows(runs, shown, reasons)
    begin = (page - 1) * PAGE
    return Listing(rows, counts, counts[wish.state], page, begin + 1, begin + len(rows))


def newest(project: Project) -> QuerySet[Run]:
    """Return the newest run of each name, and all that are still there."""
    later = Run.objects.filter(
        project=project, name=OuterRef("name"), pk__gt=OuterRef("pk"), deleted_at__isnull=True
    )
    # A run that is still there is shown, also beside its successor.
    unfinished = Q(state__in=states.RUN.unfinished)
    return queries.runs_of(project).filter(unfinished | ~Exists(later))


def _narrowed(runs: QuerySet[Run], user: User, wish: Wish) -> QuerySet[Run]:
    if wish.mine:
        runs = runs.filter(user=user)
    if wish.backend:
        there = Replica.objects.filter(run=OuterRef("pk"), backend=wish.backend)
        runs = runs.filter(Exists(there.exclude(state__in=states.REPLICA.final)))
    # PostgreSQL refuses text with NUL; no name has such a character anyway.
    text = "".join(letter for letter in wish.text if letter.isprintable())[:100]
    return runs.filter(name__icontains=text) if text else runs


def _page(
    runs: QuerySet[Run], look: Q, wish: Wish, project: Project
) -> tuple[list[UUID], dict[str, int], int]:
    """The ids of the page that is wished for, or of the last one, how many there are of each
    filter, and which page that is."""
    begin = (wish.page - 1) * PAGE
    # Rows are wide, so that the database had better order their ids.
    ask = _by_value if wish.order.key in VALUES else _by_sql
    ids, counts = ask(runs, look, wish, project)
    last = max(-(-counts[wish.state] // PAGE), 1)
    if wish.page > last:
        return _page(runs, look, replace(wish, page=last), project)
    return ids[: counts[wish.state] - begin], counts, wish.page


def _by_sql(
    runs: QuerySet[Run], look: Q, wish: Wish, project: Project
) -> tuple[list[UUID], dict[str, int]]:
    """A page of ids and all counts by one walk over the runs, since to find the newest of each name
    takes most of the time. What does not fit the filter counts too, and comes after what does."""
    filters = _filters(look)
    order = _sql(wish.order, look)
    if wish.state:
        fits = Case(When(filters[wish.state], then=Value(0)), default=Value(1))
        order.insert(0, fits.asc())
    counted = {
        f"of_{key}": Window(Count("pk", filter=each or None)) for key, each in filters.items()
    }
    begin = (wish.page - 1) * PAGE
    rows = runs.order_by(*order, "-id").annotate(**counted).values("pk", *counted)
    found = list(rows[begin : begin + PAGE])
    if not found:
        return [], _counts(runs, look)
    return [row["pk"] for row in found], {key: found[0][f"of_{key}"] for key in filters}


def _by_value(
    runs: QuerySet[Run], look: Q, wish: Wish, project: Project
) -> tuple[list[UUID], dict[str, int]]:
    fitting = runs.filter(_filters(look)[wish.state]).order_by("-id")
    ids = list(fitting.values_list("pk", flat=True))
    values = VALUES[wish.order.key](project)
    begin = (wish.page - 1) * PAGE
    shown = ordering.by_value(ids, values, falling=wish.order.falling)[begin : begin + PAGE]
    return shown, _counts(runs, look)


def _counts(runs: QuerySet[Run], look: Q) -> dict[str, int]:
    counted = {
        f"of_{key}": Count("pk", filter=each or None) for key, each in _filters(look).items()
    }
    found = runs.order_by().aggregate(**counted)
    return {key: found[f"of_{key}"] for key in _filters(look)}


def _filters(look: Q) -> dict[str, Q]:
    return {"": Q(), **FILTERS, LOOK: look}


def _sql(order: Order, look: Q) -> list[OrderBy]:
    by: dict[str, list[Any]] = {
        "state": [_rank(look)],
        "name": [Lower("name")],
        "replicas": [queries.ready_replicas()],
        "endpoint": [F("gateway__domain"), Lower("name")],
        "by": [Lower("user__username")],
        # Ids grow with time, ages fall.
        "age": [F("id")],
    }
    falling = order.falling != (order.key == "age")
    keys = by[order.key]
    return [key.desc(nulls_last=True) if falling else key.asc(nulls_last=True) for key in keys]


def _rank(look: Q) -> Case:
    """Needs a look, runs (or is about to), asleep, over."""
    return Case(
        When(look, then=Value(ordering.LOOK)),
        When(state=states.IDLE, then=Value(ordering.ASLEEP)),
        When(FILTERS["active"], then=Value(ordering.RUNNING)),
        default=Value(ordering.OVER),
        output_field=IntegerField(),
    )


def _prices(project: Project) -> dict[UUID, float | None]:
    sums = _priced().filter(run__project=project).values_list("run_id")
    return {pk: float(usd) for pk, usd in sums.annotate(usd=Sum("price_usd_per_hour"))}


def _price() -> Subquery:
    sums = _priced().filter(run=OuterRef("pk")).values("run")
    return Subquery(sums.annotate(usd=Sum("price_usd_per_hour")).values("usd"))


def _priced() -> QuerySet[Replica]:
    return Replica.objects.filter(finished_at=None, price_usd_per_hour__gt=0).order_by()


def _costs(project: Project) -> dict[UUID, float | None]:
    found = spent.by_run(project, at=timezone.now())
    return {pk: float(amount) for pk, amount in found.items()}


# Values by which the database cannot order; of a run that has none there is none.
VALUES: dict[str, Callable[[Project], Mapping[UUID, float | None]]] = {
    "requests": lambda project: {pk: each.rps for pk, each in load.figures(project).items()},
    "p95": lambda project: {pk: each.p95_ms for pk, each in load.figures(project).items()},
    "errors": lambda project: {
        pk: each.errors_percent for pk, each in load.figures(project).items()
    },
    "price": _prices,
    "cost": _costs,
}


def _rows(runs: QuerySet[Run], shown: Sequence[UUID], reasons: Mapping[UUID, str]) -> list[Row]:
    """What a row tells comes with its run, so that a page takes few queries."""
    told = runs.defer("configuration", "secrets").annotate(
        ready=queries.ready_replicas(),
        usd_per_hour=_price(),
        booked=Subquery(spent.booked(OuterRef("pk"))),
    )
    found = told.in_bulk(shown)
    booked = {pk: run.booked or Decimal(0) for pk, run in found.items()}
    totals = spent.with_unbooked(booked, at=timezone.now())
    return [
        Row(
            run,
            queries.run_url(run),
            run.ready,
            Cost(run.usd_per_hour or Decimal(0), totals[run.pk]),
            reasons.get(run.pk) or attention.reason(trouble.of(run)),
        )
        for run in (found[pk] for pk in shown if pk in found)
    ]
