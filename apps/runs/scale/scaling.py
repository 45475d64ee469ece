"""A person's `scale`: the verb, and what is said before it. The same as services, to callers."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.accounts.access import Access
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, Invalid
from apps.gateways import reach
from apps.offers import queries as offers
from apps.runs import machine_limits, queries, states
from apps.runs.models import Run
from apps.runs.planning import replicas_limit, shared_host
from apps.runs.planning.request import invalid
from apps.runs.scale.desired_replicas import note_asked
from apps.specs.errors import SpecError
from apps.specs.parse import parse_replicas
from apps.specs.sections.scaling import Replicas
from apps.specs.sections.service import ServiceSpec


def scale(*, access: Access, run: Run, replicas: str) -> Run:
    """Set how many replicas the run has: `3`, or a new range `0..4`.

    A number must lie in the range that the service scales in, where it has one.
    """
    wanted = _replicas(replicas)
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run.pk)
        _check_scale(run, wanted)
        before, bounds = run.desired_replicas, run.spec["replicas"]
        _set_replicas(run, wanted)
        note_asked(
            run,
            before=before,
            why=f"asked for {_asked_words(wanted)}",
            actor=access.actor,
            even_if_same=run.spec["replicas"] != bounds,
        )
    return run


def _asked_words(wanted: Replicas) -> str:
    least, most = wanted.min or 0, wanted.max or 0
    if least != most:
        return f"{least} to {most} replicas"
    return "1 replica" if least == 1 else f"{least} replicas"


def scale_warnings(*, access: Access, run: Run, replicas: str) -> list[str]:
    """Say what a person should know before `scale` does this; change nothing.

    Raise what `scale` would.
    """
    wanted = _replicas(replicas)
    _check_scale(run, wanted)
    if (wanted.max or 0) <= run.desired_replicas:
        return []
    spec = ServiceSpec.from_json(run.spec)
    found = offers.find(
        project=run.project,
        spec=spec,
        trusted=access.user.is_superuser,
        why_unreached=reach.of(run.gateway),
        purpose=offers.Purpose.SERVICE,
    )
    return crowded(found, spec, wanted.max)


def crowded(found: offers.Found, spec: ServiceSpec, replicas: int | None) -> list[str]:
    """Say that a shared machine cannot carry so many replicas, where it cannot."""
    said = shared_host.warning(found.matches.offers, spec, replicas or 0)
    return [said] if said else []


def _check_scale(run: Run, wanted: Replicas) -> None:
    if run.state not in queries.ACTIVE_RUNS:
        raise Conflict(f"{run.name} is {run.state}: run it again instead.")
    fixed = wanted.min == wanted.max
    least, most = _bounds(run)
    if fixed and run.spec.get("scaling") and not least <= (wanted.min or 0) <= most:
        raise Invalid(
            f"{run.name} scales between {least} and {most}: give a number in between, or a "
            f"new range such as 0..{most}."
        )
    if not fixed and not run.spec.get("scaling"):
        raise Invalid(f"{run.name} has no `scaling`: give one number of replicas.")
    replicas_limit.require(run.project, wanted.max or 0, current=run)
    machine_limits.require(run, run.desired_replicas if wanted.min is None else wanted.min)


def _replicas(text: str) -> Replicas:
    try:
        return parse_replicas(text)
    except SpecError as error:
        raise invalid(error.problems) from error


def _bounds(run: Run) -> tuple[int, int]:
    return run.spec["replicas"]["min"] or 0, run.spec["replicas"]["max"]


def _set_replicas(run: Run, wanted: Replicas) -> None:
    least, most = wanted.min or 0, wanted.max or 0
    if not (least == most and run.spec.get("scaling")):
        run.spec = {**run.spec, "replicas": {"min": least, "max": most}}
    run.desired_replicas = min(max(run.desired_replicas, least), most)
    run.failures_counted_since = run.next_check_at = timezone.now()
    run.save(update_fields=["spec", "desired_replicas", "failures_counted_since", "next_check_at"])
    after_commit(_poke, run)


def _poke(run: Run) -> None:
    notifications.transitioned(states.RUN.name, "scaled", [run.pk])
