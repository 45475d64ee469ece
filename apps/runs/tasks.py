from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.runs.control import replica_lifecycle, waiting
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
def look_for_places(*, ids: list[str], **_: Any) -> None:
    """Somewhere there may be a place for what waits for one."""
    _look_again(None)


@shared_task
def look_for_places_after_instances(*, ids: list[str], **_: Any) -> None:
    _look_again(waiting.projects_of_instances(UUID(pk) for pk in ids))


@shared_task
def look_for_places_after_workloads(*, ids: list[str], **_: Any) -> None:
    if waiting.are_on_shared_hosts(UUID(pk) for pk in ids):
        _look_again(None)


def _look_again(project_ids: Iterable[int] | None) -> None:
    at = timezone.now()
    replica_lifecycle.advance(ids=waiting.look_again(project_ids=project_ids, at=at), at=at)


@shared_task
def catch_up(**_: Any) -> None:
    replica_lifecycle.advance(ids=replica_lifecycle.out_of_sync(), at=timezone.now())


@shared_task
def prune(**_: Any) -> None:
    stored.prune(at=timezone.now())
