"""Agents that are left on machines of people's, which are this server's no more: they are told when
they call, and take themselves off."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.core import ids, retention
from apps.core.errors import Gone
from apps.instances.models import FormerAgent, Instance

OVER = "This machine is no host of this server any more: its agent ends what it runs, and goes."
# A machine may lie in a cupboard for as long.
KEPT = timedelta(days=3 * 365)
HEARD = timedelta(hours=1)


def note(instance: Instance, *, at: datetime) -> None:
    """Remember the agent of an instance that is over; again it changes nothing."""
    found = {
        "token_hash": instance.token_hash,
        "enrolment_hash": instance.enrolment_hash,
        "ended_at": at,
    }
    FormerAgent.objects.get_or_create(instance_id=instance.pk, defaults=found)


def refuse(*, token: str = "", enrolment: str = "") -> None:
    """Raise Gone for what belongs to such an agent."""
    if token:
        rows = FormerAgent.objects.filter(token_hash=ids.token_hash(token))
    else:
        rows = FormerAgent.objects.filter(enrolment_hash=ids.token_hash(enrolment))
    if row := rows.first():
        if row.told_at is None:
            FormerAgent.objects.filter(pk=row.pk, told_at=None).update(told_at=timezone.now())
        raise Gone(OVER)


def told_at(instance: Instance | None) -> datetime | None:
    """Return when the agent of an instance was told, None where it was not, or is no such one."""
    if instance is None:
        return None
    rows = FormerAgent.objects.filter(instance_id=instance.pk)
    return rows.values_list("told_at", flat=True).first()


def waiting() -> QuerySet[Any, Any]:
    """Return the ids of the instances whose agents are to be told, or may not have heard it yet."""
    heard = Q(told_at__lt=timezone.now() - HEARD)
    return FormerAgent.objects.exclude(heard).values_list("instance_id", flat=True)


def prune(*, at: datetime) -> int:
    return retention.delete(FormerAgent.objects.filter(ended_at__lt=at - KEPT))
