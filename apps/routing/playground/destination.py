"""Where this server reaches a project's gateway. Nobody's word is taken for it but its own.

Its own gateway is where the server's settings say; one on a machine is at the address that the
backend gave for that machine, and where it has a certificate it must show it. A project's members
choose that address, as they do a host's, so the server calls it where it would call a host.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

from apps.core.errors import Unavailable
from apps.gateways import states
from apps.gateways.models import Gateway
from apps.hosts.ssh.destinations import Network, refusal

PATH = "/v1/chat/completions"
# No service's host is an address, so the gateway takes this for itself.
ITSELF = "127.0.0.1"


@dataclass(frozen=True)
class Destination:
    """`host` is the name that is asked for (and proven, with `https`), `dialled` where it is."""

    gateway: str
    scheme: str
    dialled: str
    port: int
    host: str
    is_ours: bool = False


def of(gateway: Gateway) -> Destination:
    """Return where a gateway takes calls of models. Raise Unavailable."""
    if gateway.preset:
        url = urlsplit(settings.DSTACK_GATEWAY_URL)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.hostname if url.scheme == "https" else ITSELF
        return Destination(
            gateway.name, url.scheme, url.hostname or "", port, host or "", is_ours=True
        )
    if gateway.state != states.RUNNING or not gateway.address:
        raise Unavailable(f"Gateway {gateway.name} does not run yet: wait for it.")
    host = f"gateway.{gateway.domain}"
    if gateway.scheme == "http":
        return Destination(gateway.name, "http", gateway.address, gateway.port or 80, host)
    if not gateway.is_secured(host):
        raise Unavailable(f"Gateway {gateway.name} has no certificate for {host} yet: wait for it.")
    return Destination(gateway.name, "https", gateway.address, gateway.port or 443, host)


async def address_of(destination: Destination) -> str:
    """Return the IP address to dial. Raise Unavailable where none may be dialled."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            destination.dialled, destination.port, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise Unavailable(f"The address of gateway {destination.gateway} is not known.") from error
    why = ""
    for *_, place in found:
        text = str(place[0])
        why = "" if destination.is_ours else why_not(text, settings.DSTACK_HOST_NETWORKS)
        if not why:
            return text
    raise Unavailable(
        f"Gateway {destination.gateway} is said to be at {destination.dialled}, which is {why}: "
        "this server calls no gateway there."
    )


def why_not(text: str, allowed: Sequence[Network]) -> str:
    """Return what an address is that is not dialled, "" where it may be. Pure."""
    return refusal(ip_address(text.partition("%")[0]), allowed)
