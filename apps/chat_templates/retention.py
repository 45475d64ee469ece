"""What is kept of the repositories of models."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from apps.chat_templates.models import ModelSource, Repository
from apps.core import retention


def prune(*, at: datetime) -> int:
    """Forget repositories that no run reads, and return how many; two at once are harmless."""
    before = retention.history_begins(at)
    named = ModelSource.objects.filter(repository=OuterRef("pk"))
    long_ago = Q(read_at__lt=before) | Q(read_at=None, next_try_at=None)
    return retention.delete(Repository.objects.filter(~Exists(named), long_ago))
