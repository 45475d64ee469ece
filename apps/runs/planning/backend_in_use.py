"""A backend is not closed, and a project not deleted, under the services that need it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends.models import Backend
from apps.core.errors import Conflict
from apps.instances import states as instance_states
from apps.instances.models import Instance
from apps.runs import states
from apps.runs.models import Replica, Run

NAMED = 5


def refuse_while_used(backend: Backend) -> None:
    """Raise Conflict while a run has replicas on this backend, or has none but could get them
    nowhere else, and while a machine that was made there lives."""
    names = _users_of(backend)
    whose = f"project {backend.project.name}" if backend.project else "this server's projects"
    if names:
        raise Conflict(
            f"Services of {whose} still need {backend.name}: {_listed(names)}. Stop them first."
        )
    if machines := _names(_machines_of(backend), "name"):
        raise Conflict(
            f"Machines of {backend.name} have not ended: {_listed(machines)}. Wait for them, or "
            "delete it with --force, which ends them first."
        )


def end_project(project: Project) -> None:
    """Take what a project ran out of the lists, before it is deleted.

    Raise Conflict while a run is not over, or a machine of its own has not ended.
    """
    runs = Run.objects.filter(project=project)
    names = _names(runs.filter(state__in=states.RUN.unfinished), "name")
    if names:
        raise Conflict(
            f"Services of project {project.name} are not over: {_listed(names)}. Stop them first."
        )
    # A shared one is there for other projects too.
    own = Instance.objects.filter(project=project, shared=False)
    left = _names(own.filter(state__in=instance_states.INSTANCE.unfinished), "name")
    if left:
        raise Conflict(
            f"Machines of project {project.name} have not ended: {_listed(left)}. Wait for them."
        )
    runs.filter(deleted_at=None).update(deleted_at=timezone.now())


def _names(rows: QuerySet[Any], field: str) -> list[str]:
    return list(rows.order_by(field).values_list(field, flat=True)[: NAMED + 1])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _users_of(backend: Backend) -> list[str]:
    runs = Run.objects.filter(state__in=states.RUN.unfinished)
    on_it = Q(instance__backend=backend)
    if backend.project is not None:
        # The machine may be another project's, which it shares.
        on_it |= Q(backend=backend.name)
    there = Replica.objects.filter(on_it, state__in=states.REPLICA.unfinished, run__in=runs)
    if backend.project is None:
        # A project has its own one besides, or gets none: nobody is told of another's sleepers.
        return _names(runs.filter(pk__in=there.values("run_id")), "name")
    runs = runs.filter(project=backend.project)
    if connected.usable_by(backend.project).exclude(pk=backend.pk).exists():
        runs = runs.filter(pk__in=there.values("run_id"))
    return _names(runs, "name")


def _machines_of(backend: Backend) -> QuerySet[Instance]:
    live = instance_states.INSTANCE.unfinished
    return Instance.objects.filter(backend=backend, shared=False, state__in=live)
