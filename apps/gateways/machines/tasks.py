from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.gateways.machines import addresses, reconcile
from apps.instances.models import Workload


@shared_task
def advance(*, ids: list[str], **_: Any) -> None:
    reconcile.advance(keys=[int(pk) for pk in ids], at=timezone.now())


@shared_task
def advance_on_instances(*, ids: list[str], **_: Any) -> None:
    reconcile.advance(keys=reconcile.on_instances(ids), at=timezone.now())


@shared_task
def advance_of_workloads(*, ids: list[str], **_: Any) -> None:
    machines = list(Workload.objects.filter(pk__in=ids).values_list("instance_id", flat=True))
    reconcile.advance(keys=reconcile.on_instances(machines), at=timezone.now())


@shared_task
def collect_addresses(**_: Any) -> None:
    addresses.collect()
