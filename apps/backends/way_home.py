"""Where machines of clouds reach this server, and what to do where they would not: they call it
directly, or through a gateway to which this server has opened a way. The rule of the addresses is
read before Django's settings are, too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.db.models import Q, QuerySet

FOR_TUNNELS = "give its host openssh-server and set DSTACK_GATEWAY_SSH_PORT, to 2222 for example"
# On a machine: only root listens there, so that no program can wait in its place for tokens.
NEAR_PORT = 621
# Of a gateway's loopback, as `gateway.schema` has it.
RELAY_PORT = 19999
DIRECT, GATEWAY = "direct", "gateway"


class NoWayHome(Exception):
    """The agent of a new machine could not call this server; the text says what to do."""


class Relay(Protocol):
    """What is to be known of a gateway."""

    @property
    def name(self) -> str: ...
    @property
    def instance_id(self) -> object: ...
    @property
    def tunnel_host(self) -> str: ...
    @property
    def tunnel_port(self) -> int | None: ...
    @property
    def tunnel_user(self) -> str: ...
    @property
    def tunnel_host_key(self) -> str: ...


@dataclass(frozen=True)
class WayHome:
    """How the agent of a machine calls this server: at `url`. Of kind "gateway" that is a port of
    its own loopback, kept open by OpenSSH as `user` of the gateway at `host` and `ssh_port`, which
    shows `host_key` and has the server at `port`. Of the other kind, machines know the server by
    `authority`, by those that they trust anyway where that is empty."""

    kind: str
    url: str
    host: str = ""
    ssh_port: int = 0
    user: str = ""
    host_key: str = ""
    port: int = 0
    authority: str = ""


def of(gateway: Relay | None) -> WayHome:
    """Return the way of machines whose gateway this is. Raise NoWayHome."""
    if url := direct():
        return WayHome(DIRECT, url, authority=authority(url))
    if gateway is None or gateway.instance_id is None:
        raise NoWayHome(_none())
    if gateway.tunnel_port is None or not gateway.tunnel_host_key:
        raise NoWayHome(
            f"Gateway {gateway.name}, through which machines call this server, has not said yet "
            "where it takes tunnels: wait for it, or look whether it runs."
        )
    return WayHome(
        GATEWAY,
        f"http://127.0.0.1:{NEAR_PORT}",
        host=gateway.tunnel_host,
        ssh_port=gateway.tunnel_port,
        user=gateway.tunnel_user,
        host_key=gateway.tunnel_host_key,
        port=RELAY_PORT,
    )


def direct() -> str:
    """Return where machines call this server themselves, "" where they cannot."""
    return for_machines(settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL)


def address() -> str:
    """Return where machines of clouds reach this server themselves. Raise NoWayHome."""
    if url := direct():
        return url
    raise NoWayHome(_none())


def authority(url: str) -> str:
    """Return the certificates by which whoever calls this server at `url` knows it, "" where any
    authority of theirs will do."""
    known: str = settings.DSTACK_AGENT_CA
    return known if url.startswith("https://") else ""


def current() -> str:
    """Name how machines call this server now, as a sentence goes on with it that members of any
    project read: gateways are those of some."""
    if url := direct():
        ca = authority(url)
        mark = hashlib.sha256(ca.encode()).hexdigest()[:8]
        return f"at {url}" + (f" (by the certificate {mark} of DSTACK_AGENT_CA)" if ca else "")
    return "through a gateway" if relays().exists() else "at all"


def why_none(project_id: int | None = None) -> str:
    """Say why no machine of a cloud can be made, "" where one of this project, if given, can."""
    if direct() or relays(project_id).exists():
        return ""
    return (_awaited(project_id) if project_id is not None else "") or _none()


def _awaited(project_id: int) -> str:
    """Say which gateway of the project will be the way once it runs, "" where none will."""
    known = apps.get_model("gateways", "Gateway").objects.exclude(connection=None)
    made = known.filter(projects=project_id, state__in=("creating", "provisioning"))
    first = made.exclude(connection__kind="ssh").order_by("pk").first()
    if first is None:
        return ""
    return (
        f"Machines will call this server through gateway {first.name}, which is being made: wait "
        "until it runs, as `dstack gateway list -v` tells."
    )


def relays(project_id: int | None = None) -> QuerySet[Any]:
    """Return the gateways through which machines may call this server, those of this project if it
    is given.

    Whoever has a gateway's machine reads what passes there, tokens and values of `env` among it: a
    project trusts the gateways that it publishes on, and those in clouds of the server's own.
    """
    # By name: gateways know what a backend is, not the other way round.
    known = apps.get_model("gateways", "Gateway").objects
    # A host of a person's calls the server itself, so that no way leads through it.
    usable = known.filter(instance__isnull=False, instance__shared=False)
    usable = usable.filter(tunnel_port__isnull=False)
    if project_id is None:
        return usable
    published = known.filter(projects=project_id).values("pk")
    of_server = Q(connection__isnull=False, connection__project=None)
    return usable.filter(Q(pk__in=published) | of_server)


def _none() -> str:
    return (
        f"No machine elsewhere can call this server at {settings.DSTACK_PUBLIC_URL}. Make a "
        "gateway, through which they call it: `dstack gateway create --domain DOMAIN --backend "
        "BACKEND --region REGION`. Or set DSTACK_AGENT_URL to an address that machines reach."
    )


def missing() -> str:
    """Say what keeps machines from services that callers reach, "" where nothing does."""
    if why := why_none():
        return why
    if settings.DSTACK_GATEWAY_SSH_PORT or not direct():
        return ""
    return f"This server's gateway takes no tunnels from machines: {FOR_TUNNELS}."


def for_machines(*urls: str) -> str:
    """Return the first address that machines can call, "" where none is."""
    return next((url for url in urls if not is_near(url)), "")


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def is_near(url: str) -> bool:
    """Tell whether an address means nothing elsewhere."""
    return is_near_host(host_of(url))


def is_near_host(host: str) -> bool:
    """Tell it of a host: loopback, all addresses, or a name without a dot, as containers call each
    other."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return is_near_host(host)
