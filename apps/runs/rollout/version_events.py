"""The event that tells of each change of a run's version: who made it, and what it changed.

It changes no state by itself: the run and its replicas do, afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from apps.core import ids
from apps.core.models import Event
from apps.runs import states
from apps.runs.models import Run
from apps.runs.planning.diff import Difference

MOST_NAMED = 6


def note(run: Run, *, before: int, what: str, why: str = "", actor: str = "") -> None:
    """Write that the run went from one version to its present one; `what` is a verb with it."""
    Event.objects.create(
        state_machine=states.VERSION,
        object_id=ids.new_id(),
        version=0,
        old=str(before),
        new=str(run.version),
        reason=f"{what}: {why}" if why else what,
        actor=actor,
        project_id=run.project_id,
        run_id=run.pk,
        label=run.name,
        at=timezone.now(),
    )


def named(found: Sequence[Difference]) -> str:
    """Name the keys that changed, each once."""
    paths = list(dict.fromkeys(one.path for one in found))
    more = len(paths) - MOST_NAMED
    return ", ".join([*paths[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
