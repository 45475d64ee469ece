"""Where the other replicas of a service are, and how often its cloud took machines back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from apps.backends.base import Offer
from apps.instances.models import Instance
from apps.offers import queries as offers
from apps.offers import spread
from apps.runs import states
from apps.runs.control import placement_attempts
from apps.runs.models import Replica, Run
from apps.specs.sections.service import ServiceSpec


def choices(
    replica: Replica,
    spec: ServiceSpec,
    found: offers.Found,
    known: list[placement_attempts.Attempt],
    *,
    at: datetime,
) -> Iterator[spread.Choice]:
    """Return what a replica may be given, in the order in which it is asked for."""
    if spec.spot_policy == "auto":
        lost = interruptions(replica.run, at=at)
        if spread.is_streak(lost, replicas=replica.run.desired_replicas):
            return spread.on_demand_first(found.walk, lost)

    def untried() -> Iterator[Offer]:
        return placement_attempts.untried(found.walk(), known)

    return spread.apart(untried(), taken(replica))


def taken(replica: Replica) -> list[spread.Taken]:
    """Return where the others are that stay."""
    others = Replica.objects.filter(run=replica.run_id, instance__ends_at=None)
    others = others.exclude(pk=replica.pk).exclude(instance=None)
    live = others.exclude(state__in=(*states.REPLICA.final, states.DRAINING))
    rows = live.values_list(
        "backend", "region", "instance_type", "spot", "instance__zone", "instance__offer__zones"
    )
    return [
        spread.Taken(backend, region, instance, spot, zone or next(iter(asked or ()), ""))
        for backend, region, instance, spot, zone, asked in rows
    ]


def interruptions(run: Run, *, at: datetime) -> int:
    """Return how many of its spot machines were taken back lately."""
    lost = Instance.objects.filter(replicas__run=run, interrupted_at__gte=at - spread.STREAK_WITHIN)
    return lost.distinct().count()
