"""What is kept of machines and of what ran on them."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef

from apps.core import retention
from apps.instances import states
from apps.instances.boot import former
from apps.instances.costs import ledger
from apps.instances.models import Instance, Workload


def prune(*, at: datetime) -> int:
    """Forget workloads and machines that ended long ago. Return the number of rows.

    A workload stays as long as its replica does. What machines cost is booked before.
    """
    before = retention.history_begins(at)
    ledger.book(at=at)
    ended = Workload.objects.filter(state=states.EXITED, state_at__lt=before, replica=None)
    gone = retention.delete(ended)
    left = Workload.objects.filter(instance=OuterRef("pk"))
    over = Instance.objects.filter(state__in=states.INSTANCE.final, state_at__lt=before)
    over = over.exclude(pk__in=ledger.unsettled().values("pk"))
    return gone + retention.delete(over.filter(~Exists(left))) + former.prune(at=at)


def wipe_secrets() -> int:
    """Empty the secrets of workloads that ended, which nobody reads again: of all that ended before
    an end did that by itself. Return how many there were."""
    ended = Workload.objects.filter(state=states.EXITED).exclude(secrets="")
    wiped = 0
    while ids := list(ended.values_list("pk", flat=True)[: retention.BATCH]):
        wiped += Workload.objects.filter(pk__in=ids, state=states.EXITED).update(secrets="")
    return wiped
