from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.telemetry.logs import services
from apps.telemetry.metrics import rollup
from apps.telemetry.requests import keep


@shared_task
def prune(**_: Any) -> None:
    services.prune(at=timezone.now())
    rollup.roll_up(at=timezone.now())
    rollup.prune(at=timezone.now())
    keep.prune(at=timezone.now())
