"""What is kept of sessions and tokens that open nothing any more."""

from __future__ import annotations

from datetime import datetime

from django.contrib.sessions.models import Session
from django.db.models import Q

from apps.accounts.models import Token
from apps.core import retention


def prune(*, at: datetime) -> int:
    """Forget sessions that expired, and tokens that were revoked or expired long ago. Return the
    number of rows."""
    before = retention.history_begins(at)
    closed = Token.objects.filter(Q(revoked_at__lt=before) | Q(expires_at__lt=before))
    return retention.delete(Session.objects.filter(expire_date__lt=at)) + retention.delete(closed)
