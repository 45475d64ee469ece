"""Machines with tunnels in the tables of gateways: whose key opens which ports, and who may call
this server through them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.gateways.models import Gateway
from apps.instances.boot import former, home
from apps.instances.models import Instance, Tunnel
from apps.instances.tunnels import claims as tunnels
from apps.routing.models import Entry
from gateway import schema

KIND = "tunnel"
ENDPOINT = "endpoint"


def wanted(gateway_id: int) -> dict[str, dict[str, Any]]:
    """Return each machine with its key, which may be missing yet, its ports and its rights."""
    found: dict[str, dict[str, Any]] = {}
    rows = Tunnel.objects.filter(gateway_id=gateway_id, freed_at=None).order_by("port")
    for pk, key, port in rows.values_list("instance_id", "instance__public_key", "port"):
        found.setdefault(str(pk), {"public_key": key, "ports": []})["ports"].append(port)
    for caller in _callers(gateway_id):
        row = found.setdefault(str(caller.pk), {"ports": []})
        row["public_key"] = caller.public_key or home.boot_key(caller).public
        row["calls_server"] = True
    return found


def _callers(gateway_id: int) -> Iterable[Instance]:
    """Return the machines that call this server through a gateway; their way ends with them, and
    where an agent is left behind, once it was told to go."""
    living = Q(state__in=Instance.state_machine.unfinished)
    return Instance.objects.filter(living | Q(pk__in=former.waiting()), home=gateway_id)


def entries_of(entries: Iterable[Entry]) -> list[schema.TunnelKey]:
    return [
        schema.TunnelKey(id=e.ref, version=e.version, deleted=e.deleted, **e.payload)
        for e in entries
        if e.kind == KIND
    ]


def note_server(*, gateway: Gateway, server: schema.TunnelServer | None) -> None:
    """Keep where a gateway takes tunnels, and tell the agents where that is new.

    A gateway that says nothing is starting: what it said last holds.
    """
    if server is None:
        return
    said = {
        "tunnel_port": server.port,
        "tunnel_user": server.user,
        "tunnel_host_key": server.host_key,
    }
    known = Gateway.objects.filter(pk=gateway.pk)
    if not known.filter(**said).exists():
        known.update(**said)
        tunnels.gateway_moved(gateway.pk)


def take_cut(*, gateway: Gateway, status: schema.Status, at: datetime) -> list[UUID]:
    """Return the replicas whose tunnels are cut now, or back. A gateway that takes none for now
    says nothing of them. `gateway` is as it was before this status.
    """
    before = gateway.reported_at
    if status.tunnels is None or before is None or at - before > tunnels.SILENT_AFTER:
        tunnels.gateway_is_unsure(gateway.pk, at=at)
    if status.tunnels is None:
        return []
    return tunnels.note_cut(gateway_id=gateway.pk, ports=status.cut, at=at)


def take_reached(*, gateway: Gateway, status: schema.Status, at: datetime) -> list[UUID]:
    """Return the replicas that their gateway has come to reach through a tunnel: those of the table
    that it applied, but for those that it still waits for."""
    if not Tunnel.objects.filter(gateway=gateway, freed_at=None, reached_at=None).exists():
        return []
    applied = gateway.entries.filter(kind=ENDPOINT, deleted=False, version__lte=status.applied)
    listed = {r["id"] for entry in applied for r in entry.payload["replicas"]}
    return tunnels.reached(gateway_id=gateway.pk, replica_ids=listed - status.pending.keys(), at=at)
