"""The number of replicas that scaling wants: the one way in which a program writes it, and the
event that tells of each change of it, whoever made it.

A person's `scale` says how many there should be and begins anew with failures; this does not. A
replica that failed from zero is tried again with the backoff of its number, however often requests
wake the service meanwhile.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import ids, notifications
from apps.core.after_commit import after_commit
from apps.core.models import Event
from apps.runs import states
from apps.runs.models import Run
from apps.runs.queries import ACTIVE_RUNS

# The machine of these events. They change no state: the run and its replicas do, afterwards.
SCALING = "scaling"


def set_desired(*, run_id: UUID, seen: int, desired: int) -> bool:
    """Write the desired number of a run that scales, where it is still `seen`.

    Return whether it did. It does not where the run is ending, has no `scaling`, was changed
    meanwhile, or does not scale to that number: whoever decided must look again.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run_id)
        limits = run.spec["replicas"]
        fits = (limits["min"] or 0) <= desired <= (limits["max"] or 0)
        if run.state not in ACTIVE_RUNS or run.stop_requested_at is not None:
            return False
        if not run.spec.get("scaling") or not fits or run.desired_replicas != seen:
            return False
        run.desired_replicas, run.next_check_at = desired, timezone.now()
        run.save(update_fields=["desired_replicas", "next_check_at"])
        after_commit(notifications.transitioned, states.RUN.name, "scaled", [run_id])
    return True


def note(
    *, run_id: UUID, before: int, desired: int, reason: str, at: datetime, actor: str = ""
) -> None:
    """Write beside a decision about the number of replicas the event that tells of it."""
    project_id, name = Run.objects.values_list("project_id", "name").get(pk=run_id)
    Event.objects.create(
        state_machine=SCALING,
        object_id=ids.new_id(),
        version=0,
        old=str(before),
        new=str(desired),
        reason=reason,
        actor=actor,
        project_id=project_id,
        run_id=run_id,
        label=name,
        at=at,
    )


def note_asked(run: Run, *, before: int, why: str, actor: str, even_if_same: bool = False) -> None:
    """Write the event of a number that a person asked for, where it is another one."""
    desired = run.desired_replicas
    if desired != before or even_if_same:
        reason = f"{before} -> {desired}: {why}" if desired != before else f"stays {before}: {why}"
        at = timezone.now()
        note(run_id=run.pk, before=before, desired=desired, reason=reason, at=at, actor=actor)
