"""What is kept of decisions."""

from __future__ import annotations

from datetime import datetime

from apps.autoscaling.models import Decision
from apps.core import retention


def prune(*, at: datetime) -> int:
    """Forget decisions of long ago. Return the number of rows."""
    return retention.delete(Decision.objects.filter(at__lt=retention.history_begins(at)))
