from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.chat_templates import services


@shared_task
def read(*, ids: list[str], **_: Any) -> None:
    services.read(run_ids=[UUID(pk) for pk in ids], at=timezone.now())


@shared_task
def read_due(**_: Any) -> None:
    services.read_due(at=timezone.now())
