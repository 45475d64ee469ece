"""What is known of the runs that may need a look: few, so that a list of thousands stays quick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.accounts.models import Project
from apps.runs import queries, states
from apps.runs.models import Replica, Run
from apps.runs.pages import attention, load

STARTS = (states.PENDING, states.PROVISIONING, states.STARTING)
FAILS = Q(state=states.UNHEALTHY)
# Also of a number that is tried for the first time, where the machine of the one before ended.
TRIED = Q(state__in=STARTS, attempt__gt=0)
LONGEST = 300


@dataclass
class _OfReplicas:
    failing: dict[int, str] = field(default_factory=dict)
    retried: dict[int, str] = field(default_factory=dict)


def reasons(project: Project) -> dict[UUID, str]:
    """Return why runs of the project need a look that neither their state nor their notice tells
    of."""
    replicas, loads = _of_replicas(project), load.loads(project)
    runs = Run.objects.filter(pk__in={*replicas, *loads}, state__in=states.RUN.unfinished)
    found = {}
    for run in runs.defer("configuration", "secrets").annotate(ready=queries.ready_replicas()):
        facts = of(run, ready=run.ready, replicas=replicas.get(run.pk), loads=loads)
        if said := attention.reason(facts):
            found[run.pk] = said
    return found


def of(
    run: Run,
    *,
    ready: int = 0,
    replicas: _OfReplicas | None = None,
    loads: Mapping[UUID, load.Load] | None = None,
) -> attention.Facts:
    """Return what the rules of attention look at."""
    return attention.Facts(
        state=run.state,
        error=run.error[:LONGEST],
        notice=run.notice[:LONGEST],
        desired=run.desired_now,
        ready=ready,
        failing=replicas.failing if replicas else {},
        retried=replicas.retried if replicas else {},
        most_replicas=run.spec["replicas"]["max"] if run.spec.get("scaling") else None,
        load=(loads or {}).get(run.pk, load.NO_LOAD),
    )


def _of_replicas(project: Project) -> dict[UUID, _OfReplicas]:
    found: dict[UUID, _OfReplicas] = defaultdict(_OfReplicas)
    for run_id, num, state, said, why in _in_trouble(project):
        if state == states.UNHEALTHY:
            found[run_id].failing[num] = said[:LONGEST]
        else:
            found[run_id].retried[num] = (why or "")[:LONGEST]
    return found


def _in_trouble(project: Project) -> QuerySet[Replica, tuple[UUID, int, str, str, str | None]]:
    """Replicas whose probe fails, and those that are tried again with why the one before ended."""
    earlier = Replica.objects.filter(run=OuterRef("run"), num=OuterRef("num"), state=states.FAILED)
    why = Subquery(earlier.filter(pk__lt=OuterRef("pk")).order_by("-pk").values("message")[:1])
    rows = Replica.objects.filter(FAILS | TRIED, run__project=project, run__deleted_at=None)
    return rows.annotate(why=why).values_list("run_id", "num", "state", "message", "why")
