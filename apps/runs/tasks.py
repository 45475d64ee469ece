from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.runs.control import replica_lifecycle
from apps.runs.control.reconcile import reconcile as reconcile_runs
from apps.runs.files import stored
from apps.runs.models import Replica


@shared_task
def reconcile(*, ids: list[str], **_: Any) -> None:
    reconcile_runs(ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def reconcile_of_replicas(*, ids: list[str], **_: Any) -> None:
    runs = Replica.objects.filter(pk__in=ids).values_list("run_id", flat=True).distinct()
    reconcile_runs(ids=list(runs), at=timezone.now())


@shared_task
def reconcile_on_instances(*, ids: list[str], **_: Any) -> None:
    there = replica_lifecycle.replicas_on_instances(UUID(pk) for pk in ids)
    runs = Replica.objects.filter(pk__in=there).values_list("run_id", flat=True).distinct()
    reconcile_runs(ids=list(runs), at=timezone.now())


@shared_task
def advance(*, ids: list[str], **_: Any) -> None:
    replica_lifecycle.advance(ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def advance_of_workloads(*, ids: list[str], **_: Any) -> None:
    replica_lifecycle.advance(
        ids=replica_lifecycle.replicas_of_workloads(UUID(pk) for pk in ids), at=timezone.now()
    )


@shared_task
def advance_on_instances(*, ids: list[str], **_: Any) -> None:
    replica_lifecycle.advance(
        ids=replica_lifecycle.replicas_on_instances(UUID(pk) for pk in ids), at=timezone.now()
    )


@shared_task
def catch_up(**_: Any) -> None:
    replica_lifecycle.advance(ids=replica_lifecycle.out_of_sync(), at=timezone.now())


@shared_task
def prune(**_: Any) -> None:
    stored.prune(at=timezone.now())
