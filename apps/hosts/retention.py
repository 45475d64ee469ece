"""What is kept of hosts that were removed, and of the keys of projects."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef

from apps.core import retention
from apps.hosts import states
from apps.hosts.models import Host, ProjectKey


def prune(*, at: datetime) -> int:
    """Forget hosts that were removed long ago, and keys that open no host any more. Return the
    number of rows."""
    over = Host.objects.filter(state=states.REMOVED, state_at__lt=retention.history_begins(at))
    live = Host.objects.filter(project=OuterRef("project")).exclude(state=states.REMOVED)
    idle = ProjectKey.objects.filter(project__deleted_at__isnull=False).filter(~Exists(live))
    return retention.delete(over) + retention.delete(idle)
