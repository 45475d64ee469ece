"""What was spent: what is booked, and what is not booked yet, up to a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import DecimalField, F, OuterRef, QuerySet, Sum

from apps.accounts.models import Project
from apps.instances import states
from apps.instances.costs import budgets, ledger
from apps.instances.costs.split import MICROSECONDS_PER_HOUR, Share, usd
from apps.instances.models import Charge, Instance

# Prices have four decimals and time none, so that the sum is exact.
EXACT = DecimalField(max_digits=40, decimal_places=4)
Key = tuple[date, UUID | None, str, bool]
AMOUNT = Sum(F("price_usd_per_hour") * F("microseconds"), output_field=EXACT)


@dataclass(frozen=True)
class Spent:
    """What a run cost a project on a day; with `idle`, what its machines cost after it had left
    them. `hours` are hours of machines."""

    day: date
    run_id: UUID | None
    run_name: str
    idle: bool
    hours: Decimal
    usd: Decimal


def of_runs(ids: Collection[UUID], *, at: datetime) -> dict[UUID, Decimal]:
    """Return what each of these runs cost so far, without what stood idle after it."""
    return with_unbooked(_booked("run_id", ids), at=at)


def booked(run_id: OuterRef) -> QuerySet[Charge, Decimal]:
    """Return what is booked of a run, as `with_unbooked` takes it; nothing where that is none."""
    charges = Charge.objects.filter(run_id=run_id, idle=False).order_by().values("run_id")
    return charges.annotate(amount=AMOUNT).values_list("amount", flat=True)


def with_unbooked(booked: Mapping[UUID, Decimal], *, at: datetime) -> dict[UUID, Decimal]:
    """Return what runs cost so far, as `of_runs` does, of which the booked part is known."""
    machines = ledger.unsettled().filter(workloads__run_id__in=booked).distinct()
    return _totals("run_id", booked, machines, at=at)


def by_run(project: Project, *, at: datetime) -> dict[UUID, Decimal]:
    """Return the same of every run of the project that cost something."""
    amounts: dict[UUID, Decimal] = defaultdict(Decimal)
    booked = Charge.objects.filter(project=project, idle=False).exclude(run_id=None)
    for pk, amount in booked.values_list("run_id").annotate(amount=AMOUNT):
        amounts[pk] += amount
    machines = ledger.unsettled().filter(project=project)
    for _, (share, _time), amount in _unbooked(machines, at):
        if share.run_id is not None and not share.idle:
            amounts[share.run_id] += amount
    return {pk: usd(amount) for pk, amount in amounts.items()}


def of_replicas(ids: Collection[UUID], *, at: datetime) -> dict[UUID, Decimal]:
    """Return what each of these replicas cost so far, on all machines that it had."""
    machines = ledger.unsettled().filter(workloads__owner_id__in=ids).distinct()
    return _totals("owner_id", _booked("owner_id", ids), machines, at=at)


def of_instances(ids: Collection[UUID], *, at: datetime) -> dict[UUID, Decimal]:
    """Return what each of these machines cost so far, idle or not."""
    amounts: dict[UUID, Decimal] = dict.fromkeys(ids, Decimal(0))
    booked = Charge.objects.filter(instance_id__in=ids).values_list("instance_id")
    for pk, amount in booked.annotate(amount=AMOUNT):
        amounts[pk] += amount
    for instance, _, amount in _unbooked(ledger.unsettled().filter(pk__in=ids), at):
        amounts[instance.pk] += amount
    return {pk: usd(amount) for pk, amount in amounts.items()}


def of_project(project: Project, *, since: date, at: datetime) -> list[Spent]:
    """Return what the project spent from the day `since` on, newest day first, then by name."""
    charges = Charge.objects.filter(project=project, day__gte=since)
    rows = charges.values_list("day", "run_id", "run_name", "idle")
    found: dict[Key, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    booked = rows.annotate(time=Sum("microseconds"), amount=AMOUNT)
    for day, run_id, run_name, idle, microseconds, amount in booked:
        found[day, run_id, run_name, idle][0] += microseconds
        found[day, run_id, run_name, idle][1] += amount
    machines = ledger.unsettled().filter(project=project)
    for _, (share, microseconds), amount in _unbooked(machines, at):
        if share.day >= since:
            key = (share.day, share.run_id, share.run_name, share.idle)
            found[key][0] += microseconds
            found[key][1] += amount
    spent = [
        Spent(day, run_id, run_name, idle, time / MICROSECONDS_PER_HOUR, usd(amount))
        for (day, run_id, run_name, idle), (time, amount) in found.items()
    ]
    spent.sort(key=lambda each: (each.run_name, each.idle))
    return sorted(spent, key=lambda each: each.day, reverse=True)


def of_month(project: Project, *, at: datetime) -> Decimal:
    """Return what the project spent in the month of `at` (UTC)."""
    since = budgets.month_of(at.astimezone(UTC).date())
    booked = Charge.objects.filter(project=project, day__gte=since).aggregate(amount=AMOUNT)
    machines = ledger.unsettled().filter(project=project)
    later = (amount for _, (share, _time), amount in _unbooked(machines, at) if share.day >= since)
    return usd(sum(later, booked["amount"] or Decimal(0)))


def billed_usd_per_hour(project: Project) -> Decimal:
    """Return by how much an hour the project's spend grows now: machines that run."""
    live = ledger.unsettled().filter(project=project, state__in=states.INSTANCE.unfinished)
    ours = live.filter(shared=False).aggregate(usd=Sum("price_usd_per_hour"))["usd"]
    busy = live.filter(shared=True, workloads__state__in=states.WORKLOAD.unfinished).distinct()
    return sum((each.price_usd_per_hour for each in busy), ours or Decimal(0))


def _booked(field: str, ids: Collection[UUID]) -> dict[UUID, Decimal]:
    charges = Charge.objects.filter(**{f"{field}__in": list(ids)}, idle=False).values_list(field)
    return {**dict.fromkeys(ids, Decimal(0)), **dict(charges.annotate(amount=AMOUNT))}


def _totals(
    field: str, booked: Mapping[UUID, Decimal], machines: QuerySet[Instance], *, at: datetime
) -> dict[UUID, Decimal]:
    amounts = dict(booked)
    for _, (share, _time), amount in _unbooked(machines, at):
        pk = getattr(share, field)
        if pk in amounts and not share.idle:
            amounts[pk] += amount
    return {pk: usd(amount) for pk, amount in amounts.items()}


def _unbooked(
    machines: Iterable[Instance], at: datetime
) -> Iterator[tuple[Instance, tuple[Share, int], Decimal]]:
    by_id = {each.pk: each for each in machines}
    for pk, shares in ledger.unbooked(by_id.values(), at=at).items():
        for share, microseconds in shares.items():
            yield by_id[pk], (share, microseconds), by_id[pk].price_usd_per_hour * microseconds
