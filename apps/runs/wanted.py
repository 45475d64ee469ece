"""The number of replicas that scaling wants: the one way in which a program writes it.

A person's `scale` says how many there should be and begins anew with failures; this does not. A
replica that failed from zero is tried again with the backoff of its number, however often requests
wake the service meanwhile.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import wake
from apps.runs import states
from apps.runs.models import Run
from apps.runs.queries import ACTIVE_RUNS


def set_wanted(*, run_id: UUID, seen: int, wanted: int) -> bool:
    """This function will write the wanted number of a run that scales, where it is still `seen`.

    Returns whether it did. It does not where the run is ending, has no `scaling`, was changed
    meanwhile, or does not scale to that number: whoever decided must look again.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=run_id)
        limits = run.spec["replicas"]
        fits = (limits["min"] or 0) <= wanted <= (limits["max"] or 0)
        if run.state not in ACTIVE_RUNS or run.stop_requested_at is not None:
            return False
        if not run.spec.get("scaling") or not fits or run.replicas_wanted != seen:
            return False
        run.replicas_wanted, run.next_check_at = wanted, timezone.now()
        run.save(update_fields=["replicas_wanted", "next_check_at"])
        transaction.on_commit(
            lambda: wake.transitioned(states.RUN.name, "scaled", [run_id]), robust=True
        )
    return True
