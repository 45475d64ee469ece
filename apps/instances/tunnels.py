"""Tunnels: ports of gateways, claimed with a workload's place and freed with its end."""

from __future__ import annotations

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.instances import ports
from apps.instances.models import Instance, Tunnel, Workload

# As long as a connection that lost its right to a port may still hold it, and some more.
KEPT = timedelta(seconds=60)
MACHINE = "tunnel"


class NoPort(Exception):
    """The gateway has no port left."""


def claim(*, gateway_id: int, workload: Workload, at: datetime) -> Tunnel:
    """Give a workload a port of a gateway. Raise NoPort.

    Who takes the same port at the same moment waits for the other and takes the next one.
    """
    Tunnel.objects.filter(gateway_id=gateway_id, freed_at__lt=at - KEPT).delete()
    while True:
        taken = set(Tunnel.objects.filter(gateway_id=gateway_id).values_list("port", flat=True))
        port = ports.choose(taken, start=random.randrange(ports.LAST))
        if port is None:
            raise NoPort(f"all {len(taken)} ports for tunnels of its gateway are taken")
        try:
            with transaction.atomic():
                made = Tunnel.objects.create(
                    gateway_id=gateway_id,
                    port=port,
                    workload=workload,
                    instance_id=workload.instance_id,
                )
        except IntegrityError:
            continue
        _tell([workload.pk])
        return made


def free(workload_ids: Collection[UUID], *, at: datetime) -> None:
    """Let the ports of workloads that ended go."""
    if live(workload_ids).update(freed_at=at):
        _tell(workload_ids)


def live(workload_ids: Collection[UUID]) -> QuerySet[Tunnel]:
    """Return the tunnels of these workloads that are not freed."""
    return Tunnel.objects.filter(workload_id__in=workload_ids, freed_at=None)


def gateway_moved(gateway_id: int) -> None:
    """Tell the agents whose tunnels lead to a gateway that it is found elsewhere."""
    there = Tunnel.objects.filter(gateway_id=gateway_id, freed_at=None)
    instances = list(there.values_list("instance_id", flat=True).distinct())
    Instance.objects.filter(pk__in=instances).update(revision=F("revision") + 1)
    for pk in instances:
        after_commit(notifications.publish, f"instance:{pk}")


def _tell(workload_ids: Collection[UUID]) -> None:
    after_commit(notifications.transitioned, MACHINE, "changed", list(workload_ids))
