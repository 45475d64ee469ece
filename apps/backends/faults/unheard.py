"""Machines that run and never call this server: after a few in a row no more are made.

Each costs money until its time to call is over, and the next one would do no better: what keeps
them from calling lies between their network and this server. One that calls ends it, and so does
another way home, or a check that passes: a person has looked.
"""

from __future__ import annotations

from django.db import transaction

from apps.backends import way_home
from apps.backends.models import Backend

MOST = 3


def note(backend: Backend) -> None:
    """Count a machine of the backend that ran and never called."""
    way = way_home.current()
    with transaction.atomic():
        row = Backend.objects.select_for_update().get(pk=backend.pk)
        row.never_called = row.never_called + 1 if row.never_called_by == way else 1
        row.never_called_by = way
        row.save(update_fields=["never_called", "never_called_by"])


def forget(backend_id: int) -> None:
    """Begin to count anew: one called, or a person has looked."""
    Backend.objects.filter(pk=backend_id, never_called__gt=0).update(never_called=0)


def why(backend: Backend) -> str:
    """Say why no more machines are made, and what to look at; "" where they are."""
    if backend.never_called < MOST or backend.never_called_by != way_home.current():
        return ""
    return (
        f"The last {backend.never_called} machines of {backend.name} ran and never called this "
        f"server {backend.never_called_by}, so no more are made. Look whether that is reached from "
        "outside by a name and a certificate that machines trust, whether their network lets them "
        "out (public addresses or a NAT gateway), and at the end of their consoles on the page "
        "Instances. Then set DSTACK_AGENT_URL anew, or have the backend checked: machines are made "
        "again"
    )
