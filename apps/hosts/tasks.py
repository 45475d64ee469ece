from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.hosts import states
from apps.hosts.models import Host
from apps.hosts.work import steps


@shared_task
def advance(*, ids: list[str], **_: Any) -> None:
    """One host here, each other one in a task of its own: one that is away delays none."""
    for pk in ids[1:]:
        advance.apply_async(kwargs={"ids": [pk]}, retry=False)
    steps.advance(ids=[UUID(pk) for pk in ids[:1]], at=timezone.now())


@shared_task
def advance_of_instances(*, ids: list[str], **_: Any) -> None:
    """Their agents report, or are gone."""
    waiting = (states.STARTING, states.ACTIVE)
    found = Host.objects.filter(instance__in=[UUID(pk) for pk in ids], state__in=waiting)
    if hosts := [str(pk) for pk in found.values_list("pk", flat=True)]:
        advance(ids=hosts)
