from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.autoscaling import services, utilization


@shared_task
def tick(**_: Any) -> None:
    services.tick(at=timezone.now())


@shared_task
def stop_unused(**_: Any) -> None:
    utilization.stop_unused(at=timezone.now())


@shared_task
def look(*, ids: list[str], **_: Any) -> None:
    services.tick(ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def wake(*, ids: list[str], **_: Any) -> None:
    services.wake(ids=[UUID(pk) for pk in ids], at=timezone.now())
