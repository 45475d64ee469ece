"""The sweep: beat's one task. It wakes what is due, so a lost hint costs seconds, never a run."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from apps.core import sweep
from apps.core.models import Stateful
from apps.instances import tasks as instances
from apps.instances.models import Instance
from apps.runs import tasks as runs
from apps.runs.models import Replica, Run
from dstack_web.reactions import send

SWEPT: tuple[tuple[type[Stateful], Task], ...] = (
    (Run, runs.reconcile),
    (Replica, runs.advance),
    (Instance, instances.advance),
)


@shared_task
def sweep_due(**_: Any) -> None:
    at = timezone.now()
    for model, task in SWEPT:
        ids = sweep.due(model._default_manager.all(), at=at)
        for start in range(0, len(ids), sweep.BATCH):
            send(task, ids[start : start + sweep.BATCH])
