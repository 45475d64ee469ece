"""Tunnels: ports of gateways, claimed with a workload's place and freed with its end."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet

from apps.agent import wire
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.instances.models import Instance, Tunnel, Workload
from apps.instances.tunnels import ports

logger = logging.getLogger(__name__)

# As long as a connection that lost its right to a port may still hold it, and some more.
KEPT = timedelta(seconds=60)
# A gateway says every five seconds which of its tunnels are cut. Of one that does not, or did not
# while this server was away, nobody knows.
SILENT_AFTER = timedelta(seconds=20)


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


def note_key(instance: Instance, key: str) -> None:
    """Let an instance come in with another key. One that another instance has is not taken: who
    sends it has not made it."""
    try:
        with transaction.atomic():
            Instance.objects.filter(pk=instance.pk).update(public_key=key)
    except IntegrityError:
        logger.warning("%s sends the key of another instance", instance.name)
        return
    instance.public_key = key
    _tell([])


def to_open(instance: Instance) -> list[wire.Tunnels]:
    """Return what an agent has to open, for each gateway that has said where."""
    rows = instance.tunnels.filter(freed_at=None).select_related("gateway").order_by("port")
    by_gateway: dict[int, list[Tunnel]] = {}
    for row in rows.exclude(gateway__tunnel_port=None):
        by_gateway.setdefault(row.gateway_id, []).append(row)
    return [
        wire.Tunnels(
            host=found[0].gateway.tunnel_host,
            port=found[0].gateway.tunnel_port or 0,
            user=found[0].gateway.tunnel_user,
            host_key=found[0].gateway.tunnel_host_key,
            forwards=[wire.Forward(row.port, str(row.workload_id)) for row in found],
        )
        for found in by_gateway.values()
    ]


def reached(*, gateway_id: int, replica_ids: Collection[str], at: datetime) -> list[UUID]:
    """Note that a gateway reaches these replicas. Return those for which that is news."""
    waiting = Tunnel.objects.filter(gateway_id=gateway_id, freed_at=None, reached_at=None)
    found = waiting.filter(workload__replica__in=list(replica_ids))
    news = list(found.values_list("workload__replica", flat=True))
    waiting.filter(workload__replica__in=news).update(reached_at=at)
    return news


def note_cut(*, gateway_id: int, ports: Collection[int], at: datetime) -> list[UUID]:
    """Note which of the tunnels that a gateway once reached are cut now. Return the replicas for
    which that is news, also that theirs is back."""
    reached = Tunnel.objects.filter(gateway_id=gateway_id, freed_at=None, reached_at__isnull=False)
    lost, back = Q(port__in=ports, cut_at=None), ~Q(port__in=ports) & ~Q(cut_at=None)
    rows = list(reached.filter(lost | back))
    for row in rows:
        row.cut_at = at if row.cut_at is None else None
    Tunnel.objects.bulk_update(rows, ["cut_at"])
    carried = Tunnel.objects.filter(pk__in=[row.pk for row in rows])
    found = carried.exclude(workload__replica=None)
    return list(found.values_list("workload__replica", flat=True))


def machine_is_back(instance: Instance, *, at: datetime) -> None:
    """Count from now on how long its tunnels stay cut: while it was away it could not open them."""
    rows = Tunnel.objects.filter(instance=instance, freed_at=None, cut_at__isnull=False)
    rows.update(cut_at=at)


def gateway_is_unsure(gateway_id: int, *, at: datetime) -> None:
    """Count from now on how long its tunnels stay cut: for a while it said nothing of them."""
    rows = Tunnel.objects.filter(gateway_id=gateway_id, freed_at=None, cut_at__isnull=False)
    rows.update(cut_at=at)


def count_anew(workloads: Iterable[Workload], *, seen_after: timedelta, at: datetime) -> None:
    """Have those that another machine would not help say, without storing it, that they are cut
    since now, where their gateway is silent; and since no more than `seen_after`, where it speaks
    and reaches none of several machines: then it is the gateway that is not reached."""
    cut = {each.pk: each for each in workloads if each.cut_at is not None}
    if not cut:
        return
    silent = Q(gateway__reported_at=None) | Q(gateway__reported_at__lt=at - SILENT_AFTER)
    for pk in live(cut).filter(silent).values_list("workload_id", flat=True):
        cut[pk].tunnel.cut_at = at
    lonely = _lonely({each.tunnel.gateway_id for each in cut.values()})
    for each in cut.values():
        if each.tunnel.gateway_id in lonely:
            each.tunnel.cut_at = max(each.tunnel.cut_at or at, at - seen_after)


def _lonely(gateway_ids: Collection[int]) -> set[int]:
    """Return those that have reached several machines and reach none of them now."""
    reached = Tunnel.objects.filter(
        gateway_id__in=gateway_ids, freed_at=None, reached_at__isnull=False
    )
    counts = reached.values("gateway_id").annotate(
        machines=Count("instance_id", distinct=True), whole=Count("pk", filter=Q(cut_at=None))
    )
    return {row["gateway_id"] for row in counts if row["machines"] > 1 and not row["whole"]}


def gateway_moved(gateway_id: int) -> None:
    """Tell the agents whose tunnels lead to a gateway that it is found elsewhere."""
    there = Tunnel.objects.filter(gateway_id=gateway_id, freed_at=None)
    instances = list(there.values_list("instance_id", flat=True).distinct())
    Instance.objects.filter(pk__in=instances).update(revision=F("revision") + 1)
    for pk in instances:
        after_commit(notifications.publish, f"instance:{pk}")


def _tell(workload_ids: Collection[UUID]) -> None:
    after_commit(notifications.transitioned, "tunnel", "changed", list(workload_ids))
