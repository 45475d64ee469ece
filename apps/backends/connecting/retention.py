"""What is kept of checks: of each backend the last, of the others a day."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Q

from apps.backends.models import Check
from apps.core import retention

KEPT = timedelta(days=1)


def prune(*, at: datetime) -> int:
    """Forget checks that ended long ago. Return the number of rows."""
    over = Check.objects.filter(next_check_at=None, state_at__lt=at - KEPT)
    newer = Check.objects.filter(backend=OuterRef("backend"), pk__gt=OuterRef("pk"))
    return retention.delete(over.filter(Q(backend=None) | Exists(newer)).order_by(F("pk")))
