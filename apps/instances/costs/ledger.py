"""Booking the time of machines, so that what it cost outlives their rows.

Each booking is one transaction that takes a machine's time from where the last one ended
(`charged_until`) up to now. Repeated, at once, late, or killed at any line, bookings lose nothing
and double nothing: who moves `charged_until` first has the time, the other finds it moved.
A machine's last minutes stay unbooked while it lives, since what happened in them may not be
written down yet; whoever shows costs adds them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from apps.backends import services as backends
from apps.instances import states
from apps.instances.costs.split import Share, Stay, split
from apps.instances.models import Charge, Instance, Workload

# Longer than any step that writes down what happened when it began.
NOT_YET = timedelta(minutes=10)
FINAL = Q(state__in=states.INSTANCE.final)
STAY = (
    "instance_id",
    "run_id",
    "spec__run_name",
    "name",
    "owner_id",
    "created_at",
    "state",
    "state_at",
)


def unsettled() -> QuerySet[Instance]:
    """Return the machines of which there is time to book, or will be."""
    settled = FINAL & Q(charged_until__gte=F("state_at"))
    return Instance.objects.filter(price_usd_per_hour__gt=0, running_at__isnull=False).exclude(
        # Written out, since no comparison with null is true.
        settled & Q(charged_until__isnull=False)
    )


def book(*, at: datetime) -> int:
    """Book what is not booked yet of every machine. Return of how many there was something."""
    ids = list(unsettled().order_by("pk").values_list("pk", flat=True))
    return sum(_book(pk, at=at) for pk in ids)


def unbooked(instances: Iterable[Instance], *, at: datetime) -> dict[UUID, Counter[Share]]:
    """Return what a booking at `at` would book of each of these machines."""
    spans = {each.pk: (each, *_span(each, at)) for each in instances}
    stays = _stays([each for each, begin, end in spans.values() if begin < end])
    return {
        pk: split(stays[pk], begin=begin, end=end, is_ours=_is_ours(instance))
        for pk, (instance, begin, end) in spans.items()
        if begin < end
    }


def _book(pk: UUID, *, at: datetime) -> bool:
    with transaction.atomic():
        instance = Instance.objects.filter(pk=pk).first()
        if instance is None or instance.running_at is None:
            return False
        known = at if instance.is_final else at - NOT_YET
        _, until = _span(instance, known)
        shares = unbooked([instance], at=known).get(pk)
        if shares is None:
            return False
        same = Instance.objects.filter(pk=pk, charged_until=instance.charged_until)
        if not same.update(charged_until=until):
            return False  # another worker booked it meanwhile
        for share, microseconds in shares.items():
            _add(instance, share, microseconds)
    return True


def _span(instance: Instance, at: datetime) -> tuple[datetime, datetime]:
    """From where to where a machine's time is to be booked; nothing where they are the same."""
    begin = instance.charged_until or instance.running_at or at
    end = min(at, instance.state_at) if instance.is_final else at
    return begin, max(begin, end)


def _is_ours(instance: Instance) -> bool:
    return not instance.shared and not backends.is_standing(instance.backend_kind)


def _stays(instances: Sequence[Instance]) -> dict[UUID, list[Stay]]:
    """Who is on these machines since what was booked last, and who had left each of them last."""
    all_of_them = Workload.objects.filter(instance__in=instances)
    since = Coalesce("instance__charged_until", "instance__running_at")
    there = all_of_them.filter(~Q(state=states.EXITED) | Q(state_at__gt=since))
    left = all_of_them.filter(state=states.EXITED).order_by("instance", "-state_at")
    either = there | all_of_them.filter(pk__in=left.distinct("instance").values("pk"))
    found: dict[UUID, list[Stay]] = defaultdict(list)
    for row in either.order_by("created_at", "pk").values_list(*STAY):
        stay = _stay(row[1:])
        if stay not in found[row[0]]:
            found[row[0]].append(stay)
    return found


def _stay(row: tuple[Any, ...]) -> Stay:
    run_id, run_name, name, owner_id, begin, state, state_at = row
    # Both by our clock, not by the agent's.
    end = state_at if state == states.EXITED else None
    return Stay(run_id, run_name or name, owner_id, begin, end)


def _add(instance: Instance, share: Share, microseconds: int) -> None:
    """Under the lock of the machine's row, which the booking has changed."""
    key = {
        "instance_id": instance.pk,
        "day": share.day,
        "run_id": share.run_id,
        "owner_id": share.owner_id,
        "idle": share.idle,
    }
    if Charge.objects.filter(**key).update(microseconds=F("microseconds") + microseconds):
        return
    Charge.objects.create(
        **key,
        project_id=instance.project_id,
        run_name=share.run_name,
        instance_name=instance.name,
        backend=instance.offer.get("backend") or instance.backend_kind,
        region=instance.region,
        instance_type=instance.instance_type,
        price_usd_per_hour=instance.price_usd_per_hour,
        microseconds=microseconds,
    )
