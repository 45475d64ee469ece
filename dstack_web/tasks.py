"""What beat wakes of no app's own: the sweep, which finds what is due, so that a lost hint costs
seconds, never a run; and forgetting what is over, from the last stage to the first."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from apps.accounts import retention as accounts
from apps.autoscaling import retention as autoscaling
from apps.backends import tasks as backends
from apps.backends.connecting import retention as checks
from apps.backends.models import Check
from apps.chat_templates import retention as chat_templates
from apps.core import sweep
from apps.core.models import Stateful
from apps.core.sweep import one_by_one
from apps.gateways.machines import tasks as gateways
from apps.gateways.models import Gateway
from apps.hosts import retention as host_retention
from apps.hosts import tasks as hosts
from apps.hosts.models import Host
from apps.instances import retention as instance_retention
from apps.instances import tasks as instances
from apps.instances.models import Instance
from apps.offers import blocked
from apps.routing import retention as routing
from apps.runs import retention as history
from apps.runs import tasks as runs
from apps.runs.models import Replica, Run
from dstack_web.reactions import send

SWEPT: tuple[tuple[type[Stateful], Task], ...] = (
    (Run, runs.reconcile),
    (Replica, runs.advance),
    (Instance, instances.advance),
    (Check, backends.check),
    (Gateway, gateways.advance),
    (Host, hosts.advance),
)


@shared_task
def sweep_due(**_: Any) -> None:
    at = timezone.now()
    for model, task in SWEPT:
        ids = sweep.due(model._default_manager.all(), at=at)
        for start in range(0, len(ids), sweep.BATCH):
            send(task, ids[start : start + sweep.BATCH])


@shared_task
def prune_history(**_: Any) -> None:
    at = timezone.now()
    instance_retention.wipe_secrets()
    stages = (
        autoscaling,
        history,
        host_retention,
        instance_retention,
        routing,
        chat_templates,
        blocked,
    )
    one_by_one((*stages, checks, accounts), lambda stage: stage.prune(at=at))
