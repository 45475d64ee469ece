"""Replicas that wait to look for a place again, and what lets them look at once.

A pause is for where nothing is known to have changed. Where a machine ended, a limit was raised or
a backend was connected, there may be a place now.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import OuterRef, Subquery

from apps.instances.models import Instance, Workload
from apps.runs import states
from apps.runs.control.decide import NO_PLACE
from apps.runs.models import Replica

# As many as may find a place by one change; those behind them wait for the next, or their time.
MOST = 20
# Machines that end by the dozen must not have the same few look in vain each time.
REST = timedelta(seconds=5)


def projects_of_instances(ids: Iterable[UUID]) -> list[int]:
    """Return the projects that may place something more after these machines changed."""
    return list(
        Instance.objects.filter(pk__in=list(ids)).values_list("project", flat=True).distinct()
    )


def are_on_shared_hosts(workload_ids: Iterable[UUID]) -> bool:
    """Tell whether one of the workloads stood on a host that takes several, of any project."""
    found = Workload.objects.filter(pk__in=list(workload_ids), instance__shared=True)
    return found.exists()


def look_again(*, at: datetime, project_ids: Iterable[int] | None = None) -> list[UUID]:
    """End the pauses of replicas that found no place; return them, those due first.

    `project_ids` None is all projects.
    """
    waiting = Replica.objects.filter(
        state=states.PENDING,
        not_before__gt=at,
        state_at__lte=at - REST,
        run__stop_requested_at=None,
    )
    if project_ids is not None:
        waiting = waiting.filter(run__project__in=list(project_ids))
    earlier = Replica.objects.filter(
        run=OuterRef("run"), num=OuterRef("num"), pk__lt=OuterRef("pk")
    )
    reason = Subquery(earlier.order_by("-pk").values("exit_reason")[:1])
    due = waiting.annotate(why=reason).filter(why__in=NO_PLACE).order_by("not_before", "pk")
    ids = list(due.values_list("pk", flat=True)[:MOST])
    Replica.objects.filter(pk__in=ids, state=states.PENDING).update(
        not_before=at, next_check_at=at, phase=""
    )
    return ids
