"""Spot machines that their cloud takes back: announced by their agent or their backend, or seen to
be gone without a word.

Nothing new is placed on one, what runs there is replaced before it ends, and its offer is blocked
for a while: who asks for the same again soon gets the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.instances import states
from apps.instances.boot import machine_spec
from apps.instances.models import Instance
from apps.offers import blocked

# What AWS promises; the longest that a notice is believed to leave.
NOTICE = timedelta(minutes=2)
LONGEST_NOTICE = timedelta(minutes=10)
TAKEN_BACK = "the cloud took a spot machine back"


def note(
    *, instance: Instance, at: datetime, ends_at: datetime | None = None, is_gone: bool = False
) -> None:
    """Keep that the cloud takes the machine back, by `ends_at` if it said; said again is no news.

    Only of a spot machine it is believed. One that `is_gone` leaves nobody any time.
    """
    if not instance.is_spot or instance.is_final:
        return
    over = None if is_gone else min(max(ends_at or at + NOTICE, at), at + LONGEST_NOTICE)
    with transaction.atomic():
        news = Instance.objects.filter(pk=instance.pk, interrupted_at=None)
        if not news.update(interrupted_at=at, ends_at=over, next_check_at=at):
            return
        instance.interrupted_at, instance.ends_at = at, over
        blocked.block(
            backend=instance.backend,
            offer=machine_spec.offer_of(instance),
            error=None,
            reason=TAKEN_BACK,
            zone=instance.zone,
            at=at,
        )
        after_commit(notifications.transitioned, "instance", "interrupted", [instance.pk])


def ending() -> dict[UUID | None, datetime]:
    """Return when machines end that their clouds take back, as long as they are not over.

    One whose agent never called is none of them: that is a machine that was not to be had.
    """
    taken = Instance.objects.filter(ends_at__isnull=False, reported_at__isnull=False)
    left = taken.exclude(state__in=states.INSTANCE.final)
    return {pk: at for pk, at in left.values_list("pk", "ends_at") if at is not None}
