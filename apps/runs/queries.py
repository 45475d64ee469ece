"""Every read of runs that is more than a look-up by key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.accounts.models import Project
from apps.core.errors import NotFound
from apps.core.models import Event
from apps.gateways.models import Gateway
from apps.instances.costs import queries as spent
from apps.instances.costs.spend import rounded
from apps.instances.models import Workload
from apps.instances.states import INSTANCE, WORKLOAD
from apps.runs import public_urls, states
from apps.runs.models import Replica, Run
from apps.runs.whereabouts import looking
from apps.runs.whereabouts.looking import Whereabouts

LIVE_REPLICAS = [s for s in states.REPLICA.unfinished if s != states.DRAINING]
# A run that is stopping has given up its name: its successor may exist beside it.
ACTIVE_RUNS = [s for s in states.RUN.unfinished if s != states.STOPPING]
# Of what a replica runs on: nobody who shows it needs these.
LARGE = ("workload__spec", "workload__secrets", "instance__offer", "instance__token")


def runs_of(project: Project) -> QuerySet[Run]:
    """Return the project's runs, newest first, with what a list shows."""
    shown = Run.objects.filter(project=project, deleted_at__isnull=True)
    return shown.select_related("gateway", "project", "user").order_by("-id")


def find_run(project: Project, name: str) -> Run:
    """Return the newest run of that name. Raise NotFound."""
    run = runs_of(project).filter(name=name).first()
    if run is None:
        raise NotFound(f"There is no run {name!r} in project {project.name}.")
    return run


def active_run(project: Project, name: str) -> Run | None:
    return runs_of(project).filter(name=name, state__in=ACTIVE_RUNS).first()


def taken_on(gateway: Gateway, name: str, *, but: Project) -> bool:
    """Tell whether another project has an active run of that name there."""
    others = Run.objects.filter(gateway=gateway, name=name, state__in=ACTIVE_RUNS)
    return others.exclude(project=but).exists()


def model_owner(gateway: Gateway, model: str, *, project: Project, name: str) -> Run | None:
    """Return the active run that already has this model name there."""
    same = Run.objects.filter(gateway=gateway, state__in=ACTIVE_RUNS, spec__model__name=model)
    same = same.filter(model_withheld=False)
    return same.exclude(project=project, name=name).first()


def runs_with_models(project: Project) -> QuerySet[Run]:
    """Return the active runs that offer a model, by the model's name."""
    active = runs_of(project).filter(state__in=ACTIVE_RUNS).exclude(spec__model=None)
    active = active.filter(model_withheld=False)
    return active.order_by("spec__model__name")


def replicas_of(run: Run) -> QuerySet[Replica]:
    """Return live replicas by number, then ended ones, newest first."""
    return run.replicas.select_related("instance", "workload").defer(*LARGE).order_by("num", "-id")


def timeline(run: Run) -> QuerySet[Event]:
    """Return the run's, its replicas' and workloads' events, newest first."""
    return Event.objects.filter(run_id=run.pk).order_by("-id")


def machines_of(events: Sequence[Event]) -> dict[UUID, list[Event]]:
    """Return what happened to the machine of each workload whose beginning is among these events,
    oldest first."""
    made = [e.object_id for e in events if e.state_machine == WORKLOAD.name and not e.old]
    machine_of = dict(Workload.objects.filter(pk__in=made).values_list("pk", "instance_id"))
    found: dict[UUID, list[Event]] = defaultdict(list)
    happened = Event.objects.filter(
        state_machine=INSTANCE.name, object_id__in=set(machine_of.values())
    )
    for event in happened.order_by("version"):
        found[event.object_id].append(event)
    return {workload: found[machine] for workload, machine in machine_of.items()}


def ready_replicas() -> Coalesce:
    """Return how many replicas of a run take requests, to annotate runs with."""
    there = Replica.objects.filter(run=OuterRef("pk"), state=states.RUNNING).order_by()
    count = there.values("run").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(count, output_field=IntegerField()), Value(0))


@dataclass(frozen=True)
class Cost:
    """`billed_usd_per_hour` is what the total grows by: machines that are not made yet cost nothing
    yet."""

    now_usd_per_hour: Decimal = Decimal(0)
    billed_usd_per_hour: Decimal = Decimal(0)
    total_usd: Decimal = Decimal(0)


def costs(runs: Sequence[Run], *, at: datetime | None = None) -> dict[UUID, Cost]:
    """Return what runs cost an hour now, and what they cost so far."""
    totals = spent.of_runs([run.pk for run in runs], at=at or timezone.now())
    found = {pk: Cost(total_usd=total) for pk, total in totals.items()}
    live = Replica.objects.filter(run_id__in=totals, price_usd_per_hour__gt=0, finished_at=None)
    rows = live.values_list("run_id", "price_usd_per_hour", "instance__running_at")
    for run_id, price, running_at in rows:
        cost = found[run_id]
        found[run_id] = replace(
            cost,
            now_usd_per_hour=cost.now_usd_per_hour + price,
            billed_usd_per_hour=cost.billed_usd_per_hour + (price if running_at else 0),
        )
    return found


def run_url(run: Run) -> str:
    return public_urls.service_url(run)


def run_json(run: Run) -> dict[str, Any]:
    """Return a run as API and CLI show it."""
    return runs_json([run])[0]


def runs_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return runs with their unfinished replicas, or the last ones of a run
    that is over, with two queries for all."""
    replicas, cost = _shown_replicas(runs), costs(runs)
    shown = [replica for each in replicas.values() for replica in each]
    of_replica = spent.of_replicas([replica.pk for replica in shown], at=timezone.now())
    where = looking.look(shown)
    return [
        {
            "id": str(run.pk),
            "name": run.name,
            "project": run.project.name,
            "user": run.user.username,
            "state": run.state,
            "url": run_url(run),
            "path_url": public_urls.path_url(run),
            "model_url": public_urls.model_url(run),
            "version": run.version,
            "replicas_wanted": run.desired_now,
            "replicas": [
                replica_json(each, of_replica[each.pk], where[each.pk]) for each in replicas[run.pk]
            ],
            "price_usd_per_hour": float(cost[run.pk].now_usd_per_hour),
            "cost_usd": rounded(cost[run.pk].total_usd),
            "error": run.error or None,
            "notice": run.notice or None,
            "schedule": run.schedule_words or None,
            "ends_at": run.ends_at,
            "fallback_version": run.fallback,
            "last_lines": _last_words(replicas[run.pk]) if run.error else [],
            "created_at": run.created_at,
            "finished_at": run.finished_at,
        }
        for run in runs
    ]


def _last_words(replicas: Sequence[Replica]) -> list[str]:
    """The last lines of the replica that failed last."""
    failed = [replica for replica in replicas if replica.state == states.FAILED]
    lines: list[str] = max(failed, key=lambda r: r.pk).last_words if failed else []
    return lines


def _shown_replicas(runs: Sequence[Run]) -> dict[UUID, list[Replica]]:
    """Unfinished replicas by number; where a run has none, the newest of each number."""
    newest = Replica.objects.filter(run__in=runs).order_by("run", "num", "-id")
    newest = newest.select_related("workload", "instance").defer(*LARGE)
    found: dict[UUID, list[Replica]] = {run.pk: [] for run in runs}
    for replica in newest.distinct("run", "num"):
        found[replica.run_id].append(replica)
    over = states.REPLICA.final
    return {
        pk: [r for r in replicas if r.state not in over] or replicas
        for pk, replicas in found.items()
    }


def replica_json(replica: Replica, cost_usd: Decimal, where: Whereabouts) -> dict[str, Any]:
    return {
        "num": replica.num,
        "state": replica.state,
        "backend": replica.backend,
        "region": replica.region,
        "instance": replica.instance_type,
        "resources": replica.resources,
        "spot": replica.spot,
        "placed_why": replica.placed_why,
        "price_usd_per_hour": float(replica.price_usd_per_hour),
        "cost_usd": rounded(cost_usd),
        "version": replica.version,
        "phase": where.phase,
        "phase_since": where.since,
        "tried": where.tried,
        "started_at": replica.started_at,
        "ready_at": replica.ready_at,
        "finished_at": replica.finished_at,
        "exit_code": replica.exit_code,
        "message": replica.message or None,
        "last_lines": replica.last_words,
    }


def events_of(project: Project) -> QuerySet[Event]:
    """Return the events of the project's runs and machines."""
    runs = Run.objects.filter(project=project).values("pk")
    return Event.objects.filter(Q(project_id=project.pk) | Q(run_id__in=runs))


def event_json(event: Event, names: Mapping[UUID, str]) -> dict[str, Any]:
    """`names` maps run ids to names; `replica` is the number of the replica it is about."""
    about_replica = event.state_machine in (states.REPLICA.name, states.REQUEST)
    return {
        "at": event.at,
        "kind": event.state_machine,
        "run": names.get(event.run_id) if event.run_id else None,
        "subject": event.label,
        "replica": int(event.label.rpartition(" ")[2]) if about_replica else None,
        "old": event.old or None,
        "new": event.new,
        "reason": event.reason,
        "actor": event.actor or None,
    }


def names_of(events: Sequence[Event]) -> dict[UUID, str]:
    """Return the names of the runs that these events are about."""
    ids = {event.run_id for event in events if event.run_id}
    return dict(Run.objects.filter(pk__in=ids).values_list("pk", "name"))
