from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.instances import life


@shared_task(queue="outside")
def advance(*, ids: list[str], **_: Any) -> None:
    life.advance(ids=[UUID(pk) for pk in ids], at=timezone.now())
