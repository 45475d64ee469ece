"""What follows from what: (machine, new state) -> tasks to wake. The one place that knows.

Calls go down the stages; what must travel up is an event, and this table says who hears it. "*" is
any state. A wake-up is a hint: the sweep finds what a lost one would have started.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from celery import Task
from kombu.exceptions import OperationalError

from apps.accounts.models import Project
from apps.autoscaling import tasks as autoscaling
from apps.backends import tasks as backends
from apps.chat_templates import tasks as chat_templates
from apps.core import notifications
from apps.core.stores.valkey import pause
from apps.gateways.machines import tasks as gateways
from apps.hosts import tasks as hosts
from apps.hosts.models import Host
from apps.instances import tasks as instances
from apps.instances.models import Instance, Workload
from apps.offers.catalog import tasks as catalog
from apps.routing import tasks as routing
from apps.runs import tasks as runs
from apps.runs.models import Replica, Run

logger = logging.getLogger(__name__)

# States that are no machine's: "scaled" (a run's wanted number changed), "updated" (it has another
# version), "drained" (a replica's last request ended), "moved" (its address is another one), "held"
# (requests wait for a service without replicas), "changed" (a workload's readiness or address did,
# or who may call what), "interrupted" (its cloud takes a machine back), "measured" (a machine has
# other hardware), "waiting" (a ready replica is not reached by its gateway yet), "reached" (it is),
# "cut" (its tunnel is cut, or back),
# "read" (what a model's repository says of chats), "usable" (a backend was connected, changed or
# enabled).
REACTIONS: dict[tuple[str, str], Sequence[Task]] = {
    ("run", "submitted"): (runs.reconcile, routing.publish_runs, chat_templates.read),
    # A schedule that switches a service decides whether requests are held for it.
    ("run", "idle"): (routing.publish_runs,),
    ("run", "provisioning"): (routing.publish_runs,),
    ("run", "stopping"): (runs.reconcile, routing.publish_runs),
    ("run", "stopped"): (routing.publish_runs,),
    ("run", "failed"): (routing.publish_runs,),
    ("run", "scaled"): (runs.reconcile,),
    ("run", "updated"): (runs.reconcile, routing.publish_runs, chat_templates.read),
    ("replica", "pending"): (runs.advance,),
    ("replica", "running"): (runs.reconcile_of_replicas, routing.publish_of_replicas),
    ("replica", "unhealthy"): (runs.reconcile_of_replicas, routing.publish_of_replicas),
    ("replica", "draining"): (runs.advance, routing.publish_of_replicas),
    ("replica", "drained"): (runs.advance,),
    ("replica", "moved"): (routing.publish_of_replicas,),
    ("replica", "waiting"): (routing.publish_of_replicas,),
    ("replica", "reached"): (runs.advance,),
    ("replica", "cut"): (runs.advance,),
    ("replica", "stopped"): (runs.reconcile_of_replicas, routing.publish_of_replicas),
    ("replica", "failed"): (runs.reconcile_of_replicas, routing.publish_of_replicas),
    ("workload", "pulling"): (runs.advance_of_workloads,),
    ("workload", "running"): (runs.advance_of_workloads,),
    ("workload", "changed"): (runs.advance_of_workloads, gateways.advance_of_workloads),
    ("workload", "exited"): (
        runs.advance_of_workloads,
        instances.advance_of_workloads,
        runs.look_for_places_after_workloads,
        gateways.advance_of_workloads,
    ),
    ("check", "checking"): (backends.check,),
    ("host", "checking"): (hosts.advance,),
    ("host", "installing"): (hosts.advance,),
    ("host", "starting"): (hosts.advance,),
    ("host", "removing"): (hosts.advance,),
    ("instance", "requested"): (instances.advance,),
    ("instance", "terminating"): (instances.advance, gateways.advance_on_instances),
    ("instance", "terminated"): (
        routing.publish_tunnels,
        instances.close_emptied,
        runs.look_for_places_after_instances,
        gateways.advance_on_instances,
        hosts.advance_of_instances,
    ),
    ("instance", "failed"): (
        routing.publish_tunnels,
        instances.close_emptied,
        runs.look_for_places_after_instances,
        gateways.advance_on_instances,
        hosts.advance_of_instances,
    ),
    ("instance", "idle"): (runs.look_for_places_after_instances,),
    ("instance", "lost"): (runs.advance_on_instances, instances.advance),
    ("instance", "interrupted"): (runs.reconcile_on_instances, instances.advance),
    ("instance", "measured"): (hosts.advance_of_instances,),
    ("instance", "ready"): (
        runs.advance_on_instances,
        gateways.advance_on_instances,
        hosts.advance_of_instances,
    ),
    ("backend", "usable"): (runs.look_for_places, catalog.refresh_prices),
    ("limits", "changed"): (runs.look_for_places,),
    ("gateway", "creating"): (gateways.advance,),
    ("gateway", "provisioning"): (gateways.advance,),
    ("gateway", "deleting"): (gateways.advance,),
    ("gateway", "asked"): (gateways.advance,),
    ("endpoint", "held"): (autoscaling.wake,),
    ("endpoint", "counted"): (autoscaling.look,),
    ("grants", "changed"): (routing.publish_keys,),
    ("chat_template", "read"): (routing.publish_runs,),
    ("tunnel", "changed"): (routing.publish_tunnels,),
    ("certificate", "changed"): (routing.publish_certificates,),
}


def react(machine: str, state: str, ids: Sequence[UUID]) -> None:
    """Wake whoever the change concerns, and the pages that show it."""
    for task in REACTIONS.get((machine, state), ()):
        send(task, ids)
    if machine == "gateway":
        _tell_projects_of(ids)
    else:
        _tell_pages(machine, ids)


def send(task: Task, ids: Sequence[UUID] = ()) -> None:
    """Wake a task, unless the broker is away; the sweep does it then."""
    if pause.is_on:
        return
    try:
        task.apply_async(kwargs={"ids": [str(pk) for pk in ids]}, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        pause.begin()
        logger.warning("not woken: %s: %s", task.name, error)


def _tell_projects_of(gateway_ids: Sequence[Any]) -> None:
    projects = Project.objects.filter(gateways__in=gateway_ids)
    for pk in projects.values_list("pk", flat=True).distinct():
        notifications.publish(f"project:{pk}")


def _tell_pages(machine: str, ids: Sequence[UUID]) -> None:
    if machine == "host":
        _tell_projects(Host.objects.filter(pk__in=ids).values_list("project", flat=True))
    if machine not in ("run", "replica", "workload", "instance"):
        return
    run_ids: Sequence[UUID | None] = ids
    if machine == "replica":
        run_ids = list(Replica.objects.filter(pk__in=ids).values_list("run_id", flat=True))
    elif machine == "workload":
        run_ids = list(Workload.objects.filter(pk__in=ids).values_list("run_id", flat=True))
    elif machine == "instance":
        run_ids = list(Replica.objects.filter(instance__in=ids).values_list("run_id", flat=True))
        _tell_projects(Instance.objects.filter(pk__in=ids).values_list("project", flat=True))
    for run in Run.objects.filter(pk__in=set(run_ids)).only("pk", "name", "project_id"):
        notifications.publish(f"project:{run.project_id}", {"run": str(run.pk), "name": run.name})
        notifications.publish(f"run:{run.pk}", {"run": str(run.pk), "name": run.name})


def _tell_projects(ids: Iterable[int]) -> None:
    for project in set(ids):
        notifications.publish(f"project:{project}")
