"""Taking away what is old: in small batches, so that nobody waits for one, and safe to do twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import QuerySet

BATCH = 500


def history_begins(at: datetime) -> datetime:
    """Return before when what is over is forgotten."""
    return at - timedelta(days=settings.DSTACK_HISTORY_DAYS)


def delete(rows: QuerySet[Any, Any], *, batch: int = BATCH) -> int:
    """Delete these rows. Return how many there were, without those that went with them.

    What somebody else has locked is left for the next time.
    """
    model: type[models.Model] = rows.model
    gone = 0
    left = rows.order_by("pk")
    while ids := list(left.values_list("pk", flat=True)[:batch]):
        with transaction.atomic():
            named = model._default_manager.filter(pk__in=ids)
            free = named.select_for_update(skip_locked=True, of=("self",))
            locked = list(free.values_list("pk", flat=True))
            # Once more under the lock: somebody may need it meanwhile.
            doomed = list(rows.filter(pk__in=locked).values_list("pk", flat=True))
            model._default_manager.filter(pk__in=doomed).delete()
        gone += len(doomed)
        left = rows.filter(pk__gt=ids[-1]).order_by("pk")
    return gone
