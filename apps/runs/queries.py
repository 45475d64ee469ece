"""Every read of runs that is more than a look-up by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.models import Project
from apps.core.errors import NotFound
from apps.core.models import Event
from apps.gateways.models import Gateway
from apps.runs import states, urls_of
from apps.runs.models import Replica, Run

LIVE_REPLICAS = [s for s in states.REPLICA.unfinished if s != states.DRAINING]
# A run that is stopping has given up its name: its successor may exist beside it.
ACTIVE_RUNS = [s for s in states.RUN.unfinished if s != states.STOPPING]


def runs_of(project: Project) -> QuerySet[Run]:
    """This function will return the project's runs, newest first, with what a list shows."""
    shown = Run.objects.filter(project=project, deleted_at__isnull=True)
    return shown.select_related("gateway", "project", "user").order_by("-id")


def find_run(project: Project, name: str) -> Run:
    """This function will return the newest run of that name. Raises NotFound."""
    run = runs_of(project).filter(name=name).first()
    if run is None:
        raise NotFound(f"There is no run {name!r} in project {project.name}.")
    return run


def active_run(project: Project, name: str) -> Run | None:
    return runs_of(project).filter(name=name, state__in=ACTIVE_RUNS).first()


def taken_on(gateway: Gateway, name: str, *, but: Project) -> bool:
    """This function will tell whether another project has an active run of that name there."""
    others = Run.objects.filter(gateway=gateway, name=name, state__in=ACTIVE_RUNS)
    return others.exclude(project=but).exists()


def model_owner(gateway: Gateway, model: str, *, project: Project, name: str) -> Run | None:
    """This function will return the active run that already has this model name there."""
    same = Run.objects.filter(gateway=gateway, state__in=ACTIVE_RUNS, spec__model__name=model)
    return same.exclude(project=project, name=name).first()


def replicas_of(run: Run) -> QuerySet[Replica]:
    """This function will return live replicas by number, then ended ones, newest first."""
    return run.replicas.select_related("instance", "workload").order_by("num", "-id")


def live_replicas(run: Run) -> QuerySet[Replica]:
    return run.replicas.exclude(state__in=states.REPLICA.final).order_by("num")


def timeline(run: Run, *, limit: int = 200) -> Sequence[Event]:
    """This function will return the run's and its replicas' events, newest first."""
    return list(Event.objects.filter(run_id=run.pk).order_by("-id")[:limit])


@dataclass(frozen=True)
class Cost:
    now_usd_per_hour: Decimal
    total_usd: Decimal


def costs(runs: Sequence[Run], *, at: datetime | None = None) -> dict[UUID, Cost]:
    """This function will return what runs cost now and so far, with one query.

    A replica costs its machine's price from its placing to its end.
    """
    at = at or timezone.now()
    totals = {run.pk: [Decimal(0), Decimal(0)] for run in runs}
    priced = Replica.objects.filter(run_id__in=totals, price_usd_per_hour__gt=0)
    for replica in priced.only("run_id", "price_usd_per_hour", "started_at", "finished_at"):
        if replica.started_at is None:
            continue
        end = replica.finished_at or at
        hours = Decimal((end - replica.started_at).total_seconds()) / 3600
        totals[replica.run_id][1] += replica.price_usd_per_hour * hours
        if replica.finished_at is None:
            totals[replica.run_id][0] += replica.price_usd_per_hour
    return {pk: Cost(now, total) for pk, (now, total) in totals.items()}


def run_url(run: Run) -> str:
    return urls_of.service_url(run)


def run_json(run: Run) -> dict[str, Any]:
    """This function will return a run as API and CLI show it, with its unfinished replicas, or
    the last ones of a run that is over."""
    replicas = list(live_replicas(run)) or _last_replicas(run)
    cost = costs([run])[run.pk]
    return {
        "id": str(run.pk),
        "name": run.name,
        "project": run.project.name,
        "user": run.user.username,
        "state": run.state,
        "url": run_url(run),
        "path_url": urls_of.path_url(run),
        "model_url": urls_of.model_url(run),
        "version": run.deployment,
        "replicas_wanted": run.replicas_wanted,
        "replicas": [replica_json(replica) for replica in replicas],
        "price_usd_per_hour": float(cost.now_usd_per_hour),
        "cost_usd": round(float(cost.total_usd), 4),
        "error": run.error or None,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }


def _last_replicas(run: Run) -> list[Replica]:
    """The newest replica of each number, of a run that has no unfinished one."""
    newest: dict[int, Replica] = {}
    for replica in run.replicas.order_by("-id")[:50]:
        newest.setdefault(replica.num, replica)
    return [newest[num] for num in sorted(newest)]


def replica_json(replica: Replica) -> dict[str, Any]:
    return {
        "num": replica.num,
        "state": replica.state,
        "backend": replica.backend,
        "region": replica.region,
        "instance": replica.instance_type,
        "resources": replica.resources,
        "spot": replica.spot,
        "price_usd_per_hour": float(replica.price_usd_per_hour),
        "version": replica.deployment,
        "phase": replica.phase,
        "started_at": replica.started_at,
        "ready_at": replica.ready_at,
        "finished_at": replica.finished_at,
        "exit_code": replica.exit_code,
        "message": replica.message or None,
        "last_lines": replica.last_lines,
    }


def event_json(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.machine,
        "subject": event.label,
        "old": event.old or None,
        "new": event.new,
        "reason": event.reason,
        "actor": event.actor or None,
    }
