from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.instances import life, orphans
from apps.instances.models import Workload


@shared_task
def advance(*, ids: list[str], **_: Any) -> None:
    life.advance(ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def advance_of_workloads(*, ids: list[str], **_: Any) -> None:
    machines = Workload.objects.filter(pk__in=ids).values_list("instance_id", flat=True)
    life.advance(ids=list(machines.distinct()), at=timezone.now())


@shared_task
def hunt_orphans(**_: Any) -> None:
    orphans.hunt(at=timezone.now())
