"""Where machines are put: a network of our own, which has a subnet in every region and lets nobody
in but through the ports that single machines are to have open.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.gcp import errors, library, operations
from apps.backends.providers.gcp.clients import Clients

NAME = "dstack-web"
EVERYWHERE = "0.0.0.0/0"
MADE_WITHIN = 35.0


def link(clients: Clients) -> str:
    return f"projects/{clients.project}/global/networks/{NAME}"


def found(clients: Clients) -> Any:
    """Return the network, None where there is none yet."""
    return _or_none(clients, "Networks", network=NAME)


def ensure(clients: Clients) -> None:
    """Make the network where there is none. Raise ProviderError while it is being made."""
    if found(clients) is None:
        wanted = {
            "name": NAME,
            "description": "Machines of dstack-web: no inbound port",
            "auto_create_subnetworks": True,
            "routing_config": {"routing_mode": "REGIONAL"},
        }
        _insert(clients, "Networks", network_resource=wanted)


def tag_of(ports: Sequence[int]) -> str:
    """Return what marks machines with these ports open, the name of their rule as well."""
    numbers = [str(port) for port in sorted(set(ports))]
    return "-".join([NAME, "in", *numbers])[:63].rstrip("-")


def open_ports(clients: Clients, ports: Sequence[int]) -> list[str]:
    """Return the marks for a machine with these ports open to all; their rule is made before."""
    if not ports:
        return []
    name = tag_of(ports)
    if _or_none(clients, "Firewalls", firewall=name) is None:
        wanted = {
            "name": name,
            "description": "Gateways of dstack-web: these ports are open to all",
            "network": link(clients),
            "direction": "INGRESS",
            "allowed": [{"I_p_protocol": "tcp", "ports": [str(port) for port in sorted(ports)]}],
            "source_ranges": [EVERYWHERE],
            "target_tags": [name],
        }
        _insert(clients, "Firewalls", firewall_resource=wanted)
    return [name]


def strangers(clients: Clients) -> list[str]:
    """Return the rules that let somebody in to our network and are none of ours."""
    rows = clients.call("Firewalls", "list")
    return sorted(
        str(row.name)
        for row in rows
        if row.network.endswith(f"/{NAME}")
        and row.allowed
        and row.direction != "EGRESS"
        and not row.disabled
        and not row.name.startswith(f"{NAME}-in-")
    )


def _or_none(clients: Clients, service: str, **asked: str) -> Any:
    try:
        return clients.call(service, "get", **asked)
    except library.exceptions().NotFound:
        return None


def _insert(clients: Clients, service: str, **asked: Any) -> None:
    """Make it and wait for it; that another call was quicker is fine."""
    try:
        operation = clients.call(service, "insert_unary", **asked)
    except library.exceptions().Conflict as error:
        if errors.of_call(error).code not in errors.EXISTS:
            raise
        return
    until = time.monotonic() + MADE_WITHIN
    operation = operations.waited(clients, operation, until=until)
    fault = errors.of_operation(operation)
    if fault is not None and fault.code not in errors.EXISTS:
        raise fault.told("the project")
    if not operations.is_done(operation):
        raise ProviderError(
            f"The network {NAME} of the project {clients.project} is still being made.",
            kind=ErrorKind.THROTTLED,
            scope=Scope.BACKEND,
        )
