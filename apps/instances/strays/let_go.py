"""Machines that a copy of a database knows, and that stay with the server it was copied from."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.backends import services as backends
from apps.core.transition import transition
from apps.instances import ending, states
from apps.instances.models import Instance, UnknownMachine

WHY = "It stays with the server that this database was copied from."


def let_go() -> int:
    """End the rows of all machines of clouds without asking their clouds. Return their number."""
    live = Instance.objects.filter(state__in=states.INSTANCE.unfinished)
    left = [each for each in live.order_by("pk") if not backends.is_standing(each.backend_kind)]
    at = timezone.now()
    for instance in left:
        with transaction.atomic():
            if instance.state != states.TERMINATING:
                ending.begin(instance, WHY, at=at)
            transition(instance, states.TERMINATED, at=at, reason=WHY, next_check_at=None)
    UnknownMachine.objects.all().delete()
    return len(left)
