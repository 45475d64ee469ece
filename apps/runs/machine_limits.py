"""What a project's limits on machines and its budget mean for a run: at its plan, when it scales,
for a replica.

That no machine is made beyond them is kept where it is asked for (`apps.instances.costs.in_use`);
here people are told beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from apps.accounts.models import Project
from apps.backends.base import Offer
from apps.core.errors import Detail, Invalid
from apps.gateways import reach
from apps.instances.costs import budgets, in_use, limits
from apps.instances.costs.limits import Limits, Use
from apps.offers import queries as offers
from apps.runs.models import Replica, Run
from apps.runs.queries import LIVE_REPLICAS
from apps.specs.sections.service import ServiceSpec


@dataclass(frozen=True)
class Bound:
    """The most replicas that there may be now, what bounds them in words, and what helps."""

    most: int
    why: str
    what_to_do: str


def check(
    project: Project,
    spec: ServiceSpec,
    fitting: Sequence[Offer],
    *,
    current: Run | None,
    surges: bool,
    waits: bool,
) -> list[str]:
    """Raise Invalid where the project may not have the machines that the service begins with.

    Return what to say where it may later: they are waited for, or its scaling ends before its own
    limit. `surges`: a new version needs a machine more than there are, since the old one serves
    meanwhile.
    """
    at = timezone.now()
    bound = in_use.limits_of(project, at=at)
    if bound is None or not fitting or not in_use.makes_a_machine(fitting[0]):
        return []
    price, own = _price(fitting[0]), _own(current)
    least = spec.replicas.min or 0
    first = max(least, min(spec.replicas.max or 0, 1)) - len(own)
    count = max(first, int(surges and bool(own)))
    free = Use(len(own), sum((each.price_usd_per_hour for each in own), Decimal(0)))
    if said := limits.refusal(bound, free, count=count, price=price):
        raise _invalid(said)
    used = in_use.within(project, bound, at=at)
    if said := limits.refusal(bound, used, count=count - _idle(project, fitting[0]), price=price):
        if not waits and least > 0:
            raise _invalid(said)
        return [f"It waits for machines: {said}."]
    scaling = _scaling(bound, used, (spec.replicas.max or 0) - len(own), price)
    return scaling or _budget(bound, used, price)


def require(run: Run, desired: int) -> None:
    """Raise Invalid where the run may not have so many replicas now."""
    live = run.replicas.filter(state__in=LIVE_REPLICAS).count()
    if desired <= max(live, run.desired_replicas):
        return
    found = bound_of(run.pk)
    if found is not None and desired > found.most:
        problem = (
            f"{run.name} may have {found.most} now, found {desired}: {found.why}: "
            f"{found.what_to_do}"
        )
        raise Invalid(f"replicas: {problem}", details=[Detail("replicas", problem)])


def bound_of(run_id: UUID) -> Bound | None:
    """Return what the limits of its project leave a run, None where they do not bound it."""
    run = Run.objects.select_related("project").get(pk=run_id)
    at = timezone.now()
    bound = in_use.limits_of(run.project, at=at)
    if bound is None:
        return None
    spec = ServiceSpec.from_json(run.spec)
    found = offers.find(
        project=run.project,
        spec=spec,
        why_unreached=reach.of(run.gateway),
        purpose=offers.Purpose.SERVICE,
    )
    fitting = found.matches.offers
    if not fitting or not in_use.makes_a_machine(fitting[0]):
        return None
    used, price = in_use.within(run.project, bound, at=at), _price(fitting[0])
    left = limits.room(bound, used, price=price)
    if left is None:
        return None
    most = len(_own(run)) + left + _idle(run.project, fitting[0])
    why, what_to_do = (said(bound, used, price=price) for said in (limits.bound, limits.what_to_do))
    return Bound(most, why, what_to_do)


def _own(run: Run | None) -> list[Replica]:
    """The run's replicas that have a machine."""
    if run is None:
        return []
    return list(run.replicas.filter(state__in=LIVE_REPLICAS, instance__isnull=False))


def _idle(project: Project, offer: Offer) -> int:
    return in_use.idle(project).count(in_use.kind_of(offer))


def _price(offer: Offer) -> Decimal:
    return Decimal(str(offer.price_usd_per_hour))


def _scaling(bound: Limits, used: Use, count: int, price: Decimal) -> list[str]:
    said = limits.refusal(bound, used, count=count, price=price) if count > 0 else None
    return [f"It will not scale to its end: {said}."] if said else []


def _budget(bound: Limits, used: Use, price: Decimal) -> list[str]:
    """A word where the budget will soon be in the way."""
    if bound.budget is None or price <= 0:
        return []
    said = budgets.warning(bound.budget, used.spent_usd)
    return [said] if said else []


def _invalid(said: str) -> Invalid:
    return Invalid(f"replicas: {said}", details=[Detail("replicas", said)])
