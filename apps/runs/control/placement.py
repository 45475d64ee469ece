"""Finding a place for a replica: the first offer that takes it, but for those tried in vain.

Whether a machine can be had shows only when its provider is asked for it, later and elsewhere:
what comes back then is a try, kept with the replica, and the replica waits for a place again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import transaction

from apps.core import crypto, sweep
from apps.core.transition import Stale, transition
from apps.gateways import reach
from apps.instances import services as instances
from apps.instances.costs import in_use
from apps.instances.models import Workload
from apps.offers import queries as offers
from apps.offers.spread import Choice
from apps.runs import states
from apps.runs.control import decide, placement_attempts, siblings, workload_spec
from apps.runs.models import Replica, Run
from apps.runs.planning import reuse
from apps.specs.sections.service import ServiceSpec

RETRY_INTERVAL = timedelta(seconds=5)
# What a refusal keeps away is looked through no further: one offer of a cloud is enough to say so.
MOST_SEEN = 50


def place(replica: Replica, *, at: datetime) -> None:
    """Give a replica the first offer that takes it.

    Without one it fails, and `retry` decides on.
    """
    run = replica.run
    if replica.version != run.version:
        # Of a version that should run no more: reconciling the run ends it.
        sweep.set_next_check(replica, at=at + RETRY_INTERVAL)
        return
    try:
        _look(replica, at=at)
    except crypto.InvalidToken:
        known = placement_attempts.read(replica.tried)
        _give_up(replica, crypto.NO_KEY_FITS, decide.NO_BACKEND, known, at=at)


def _look(replica: Replica, *, at: datetime) -> None:
    run = replica.run
    spec = ServiceSpec.from_json(run.spec)
    found = offers.find(
        project=run.project,
        spec=spec,
        why_unreached=reach.of(run.gateway),
        purpose=offers.Purpose.SERVICE,
        at=at,
    )
    known = placement_attempts.read(replica.tried)
    over: list[str] = []
    may_create = spec.creation_policy == "reuse-or-create"
    choices = siblings.choices(replica, spec, found, known, at=at)
    if may_create and _is_placed(replica, found, choices, known, over, at=at):
        return
    if _is_placed(replica, found, _idle(found), known, over, at=at):
        return
    if not may_create and found.total:
        _give_up(replica, reuse.NONE_IDLE, decide.NO_CAPACITY, known, at=at)
    else:
        _fail(replica, found, known, over[-1] if over else "", at=at)


def _is_placed(
    replica: Replica,
    found: offers.Found,
    candidates: Iterable[Choice],
    known: list[placement_attempts.Attempt],
    over: list[str],
    *,
    at: datetime,
) -> bool:
    """Tell whether one of the candidates took it, or another worker placed it meanwhile.

    The first time that the project may have no machine more, no other one is asked for.
    """
    for choice in candidates:
        if placement_attempts.is_tried(choice.offer, known):
            continue
        try:
            _place_on(replica, found, choice, at=at)
        except in_use.OverLimit as error:
            over.append(str(error))
            if len(over) == 1:
                return False
        except instances.NoRoom as error:
            known.append(placement_attempts.of(choice.offer, str(error)))
        except Stale:
            return True
        else:
            return True
    return False


def _idle(found: offers.Found) -> Iterator[Choice]:
    """What can be had without a machine being made: no limit and no refusal is in its way."""
    idle = in_use.idle(found.project)
    for seen in islice(found.walk_whole(), MOST_SEEN):
        if not in_use.makes_a_machine(seen.offer) or in_use.kind_of(seen.offer) in idle:
            yield Choice(seen.offer)


def _fail(
    replica: Replica,
    found: offers.Found,
    known: Sequence[placement_attempts.Attempt],
    over: str,
    *,
    at: datetime,
) -> None:
    seen = islice(found.walk_whole(), MOST_SEEN)
    shut = placement_attempts.blocked([(each.offer, each.block) for each in seen], known)
    known = [*known, *shut]
    why = placement_attempts.told(known, found.unavailable) if known else offers.why_none(found)
    if shut:
        why += f" {len(shut)} of these were refused a short while ago and not asked for again."
    reason = decide.NO_BACKEND if placement_attempts.is_broken(known) else decide.NO_CAPACITY
    if over:
        reason, why = decide.OVER_LIMIT, f"{over}. {why}" if known else over
    _give_up(replica, why, reason, known, at=at)


def _give_up(
    replica: Replica,
    why: str,
    exit_reason: str,
    tried: Sequence[placement_attempts.Attempt],
    *,
    at: datetime,
) -> None:
    transition(
        replica,
        states.FAILED,
        at=at,
        reason=why,
        exit_reason=exit_reason,
        message=why,
        tried=[each.to_json() for each in tried],
        finished_at=at,
        next_check_at=None,
    )


def _place_on(replica: Replica, found: offers.Found, choice: Choice, *, at: datetime) -> None:
    offer = choice.offer
    backend = found.backends[offer.backend]
    new = workload_spec.new_workload(run=replica.run, replica=replica, offer=offer)
    # One transaction for both: a replica that another worker placed meanwhile leaves no workload.
    with transaction.atomic():
        workload = instances.place(
            project=replica.run.project,
            backend=backend,
            offer=offer,
            new=dataclasses.replace(new, tunnel_to=_tunnel_to(replica.run, backend.kind)),
            at=at,
        )
        transition(
            replica,
            states.PROVISIONING,
            at=at,
            # Of this machine, backend and region have the same name: once is enough.
            reason=_told(choice),
            placed_why=choice.why,
            workload=workload,
            instance=workload.instance,
            backend=offer.backend,
            region=offer.region,
            instance_type=offer.instance,
            resources=str(offer.hardware),
            spot=offer.spot,
            # An idle machine was made at its own price.
            price_usd_per_hour=workload.instance.price_usd_per_hour,
            started_at=at,
            next_check_at=at + RETRY_INTERVAL,
        )


def _told(choice: Choice) -> str:
    offer = choice.offer
    where = " ".join(dict.fromkeys([offer.backend, offer.region, offer.instance]))
    return f"{where}: {choice.why}" if choice.why else where


def _tunnel_to(run: Run, backend_kind: str) -> int | None:
    near = run.gateway is None or run.gateway.is_on_host_of(backend_kind)
    return None if near else run.gateway_id


def failed_attempt(replica: Replica, workload: Workload) -> placement_attempts.Attempt:
    """Say what came of the place that a replica was given."""
    of_region = workload.exit_reason == decide.NO_REGION
    return placement_attempts.Attempt(
        replica.backend,
        replica.region,
        "" if of_region else replica.instance_type,
        replica.spot and not of_region,
        why=workload.message,
        whole=of_region or workload.exit_reason == decide.NO_BACKEND,
    )


def tried_with(replica: Replica, workload: Workload) -> list[dict[str, Any]]:
    """Return what the replica tried, with the place that came to nothing."""
    return [*replica.tried, failed_attempt(replica, workload).to_json()]


def without_place(replica: Replica, workload: Workload) -> dict[str, Any]:
    """Return the fields of a replica that waits for another place."""
    return {
        "tried": tried_with(replica, workload),
        **dict.fromkeys(("workload", "instance", "started_at")),
        **dict.fromkeys(
            ("backend", "region", "instance_type", "resources", "phase", "placed_why"), ""
        ),
        "spot": False,
        "price_usd_per_hour": Decimal(0),
    }
