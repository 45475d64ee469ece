"""Runs whose gateway goes: they run on, and nobody is led to them until they are deployed anew."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from apps.gateways.models import Gateway
from apps.instances.models import Tunnel
from apps.instances.tunnels import claims as tunnels
from apps.runs import states
from apps.runs.models import Run

NOTICE = "Gateway {} was deleted, so it has no public address: deploy it again to publish it."


def active_on(gateway: Gateway) -> list[Run]:
    """Return the runs that are published there, by project and name."""
    live = Run.objects.filter(gateway=gateway, state__in=states.RUN.unfinished)
    return list(live.select_related("project").order_by("project__name", "name"))


def unpublish(gateway: Gateway, *, at: datetime | None = None) -> None:
    """Take all runs off a gateway that is being deleted, in its transaction."""
    runs = Run.objects.filter(gateway=gateway)
    runs.filter(state__in=states.RUN.unfinished).update(notice=NOTICE.format(gateway.name))
    runs.update(gateway=None)
    there = Tunnel.objects.filter(gateway=gateway, freed_at=None)
    tunnels.free(list(there.values_list("workload_id", flat=True)), at=at or timezone.now())
