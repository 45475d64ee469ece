"""Finding a place for a replica: the first offer that takes it, but for those tried in vain.

Whether a machine can be had shows only when its provider is asked for it, later and elsewhere:
what comes back then is a try, kept with the replica, and the replica waits for a place again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from apps.backends.base import Offer
from apps.core.transition import Stale, transition
from apps.instances import services as instances
from apps.instances.models import Workload
from apps.offers import queries as offers
from apps.runs import decide, orders, states, steps, tries
from apps.runs.models import Replica
from apps.specs.service import ServiceSpec

SOON = timedelta(seconds=5)


def place(replica: Replica, *, at: datetime) -> None:
    """This function will give a replica the first offer that takes it.

    Without one it fails, and `retry` decides on.
    """
    run = replica.run
    if replica.deployment != run.deployment:
        # Of a version that should run no more: reconciling the run ends it.
        Replica.objects.filter(pk=replica.pk).update(next_check_at=at + SOON)
        return
    found = offers.find(project=run.project, spec=ServiceSpec.from_json(run.spec))
    known = tries.read(replica.tried)
    for offer in tries.untried(found.matches.offers, known):
        try:
            _place_on(replica, found, offer, at=at)
        except instances.NoRoom as error:
            known.append(tries.of(offer, str(error)))
        except Stale:
            return
        else:
            return
    why = tries.told(known, found.silent) if known else offers.why_none(found)
    transition(
        replica,
        states.FAILED,
        at=at,
        reason=why,
        exit_reason=decide.NO_CAPACITY,
        message=why,
        finished_at=at,
        next_check_at=None,
    )


def _place_on(replica: Replica, found: offers.Found, offer: Offer, *, at: datetime) -> None:
    # One transaction for both: a replica that another worker placed meanwhile leaves no workload.
    with transaction.atomic():
        workload = instances.place(
            project=replica.run.project,
            account=found.accounts[offer.backend],
            offer=offer,
            order=orders.order(run=replica.run, replica=replica, offer=offer),
            at=at,
        )
        transition(
            replica,
            states.PROVISIONING,
            at=at,
            # Of this machine, backend and region have the same name: once is enough.
            reason=" ".join(dict.fromkeys([offer.backend, offer.region, offer.instance])),
            workload=workload,
            instance=workload.instance,
            backend=offer.backend,
            region=offer.region,
            instance_type=offer.instance,
            resources=str(offer.hardware),
            spot=offer.spot,
            price_usd_per_hour=Decimal(str(offer.price_usd_per_hour)),
            started_at=at,
            next_check_at=at + SOON,
        )


def failed_try(replica: Replica, workload: Workload) -> tries.Try:
    """This function will say what came of the place that a replica was given."""
    return tries.Try(
        replica.backend,
        replica.region,
        replica.instance_type,
        replica.spot,
        why=workload.message,
        whole=workload.exit_reason == steps.NO_BACKEND,
    )


def without_place(replica: Replica, workload: Workload) -> dict[str, Any]:
    """This function will return the fields of a replica that waits for another place."""
    return {
        "tried": [*replica.tried, failed_try(replica, workload).to_json()],
        **dict.fromkeys(("workload", "instance", "started_at")),
        **dict.fromkeys(("backend", "region", "instance_type", "resources", "phase"), ""),
        "spot": False,
        "price_usd_per_hour": Decimal(0),
    }
