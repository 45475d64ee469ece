from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from apps.telemetry import services


@shared_task
def prune(**_: Any) -> None:
    services.prune(at=timezone.now())
