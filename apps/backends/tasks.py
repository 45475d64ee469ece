from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task

from apps.backends.connecting import checks


@shared_task
def check(*, ids: list[str], **_: Any) -> None:
    checks.run(ids=[UUID(pk) for pk in ids])
