from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.runs import life
from apps.runs.advance import advance as advance_replicas
from apps.runs.advance import overtaken, replicas_of_workloads, replicas_on_instances
from apps.runs.models import Replica


@shared_task
def reconcile(*, ids: list[str], **_: Any) -> None:
    life.reconcile(ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def reconcile_of_replicas(*, ids: list[str], **_: Any) -> None:
    runs = Replica.objects.filter(pk__in=ids).values_list("run_id", flat=True).distinct()
    life.reconcile(ids=list(runs), at=timezone.now())


@shared_task
def advance(*, ids: list[str], **_: Any) -> None:
    advance_replicas(ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def advance_of_workloads(*, ids: list[str], **_: Any) -> None:
    advance_replicas(ids=replicas_of_workloads(UUID(pk) for pk in ids), at=timezone.now())


@shared_task
def advance_on_instances(*, ids: list[str], **_: Any) -> None:
    advance_replicas(ids=replicas_on_instances(UUID(pk) for pk in ids), at=timezone.now())


@shared_task
def catch_up(**_: Any) -> None:
    advance_replicas(ids=overtaken(), at=timezone.now())
