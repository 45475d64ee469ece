"""Where a gateway dials a replica. It never dials what an agent says of another machine."""

from __future__ import annotations

import re

from apps.instances.models import Tunnel
from apps.runs.models import Replica
from gateway.schema import ADDRESS

PATTERN = re.compile(ADDRESS)


def of(replica: Replica) -> str:
    """Return the address of a replica for its gateway, "" where there is none.

    It is the port that its tunnel has at the gateway. The agent is believed only where it runs on
    the gateway's own host: anywhere else it could name anything that the gateway reaches.
    """
    gateway, instance = replica.run.gateway, replica.instance
    if gateway is None or instance is None:
        return ""
    if tunnel := tunnel_of(replica):
        return tunnel.address if tunnel.gateway_id == gateway.pk else ""
    if not gateway.is_on_host_of(instance.backend_kind):
        return ""
    # A text that is no address would have the gateway refuse the whole table.
    return replica.address if PATTERN.fullmatch(replica.address) else ""


def tunnel_of(replica: Replica) -> Tunnel | None:
    """Return the tunnel that leads to a replica, None where there is none, or no more."""
    found: Tunnel | None = getattr(replica.workload, "tunnel", None)
    return found if found is not None and found.freed_at is None else None
