"""Who writes a record of the DNS now: one at a time, among all gateways and workers of this server.

A record is read, changed and written, by calls that may take a minute; of two who do that at once
the second would write over what the first wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

from django.utils import timezone

from apps.gateways.models import DnsTurn
from apps.instances.calls import Busy

# Longer than the calls of one change may take; a worker that dies keeps others waiting so long.
LONGEST = timedelta(minutes=4)


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Raise Busy while somebody else has the turn."""
    at, holder = timezone.now(), uuid4()
    DnsTurn.objects.get_or_create(name=name, defaults={"until": at})
    mine = DnsTurn.objects.filter(name=name, until__lte=at)
    if not mine.update(until=at + LONGEST, holder=holder):
        raise Busy
    try:
        yield
    finally:
        DnsTurn.objects.filter(name=name, holder=holder).delete()
