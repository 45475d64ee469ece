"""Where machines of clouds reach this server, and what to set where they would not. The rule of the
addresses is read before Django's settings are, too."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings

FOR_TUNNELS = "give its host openssh-server and set DSTACK_GATEWAY_SSH_PORT, to 2222 for example"


class NoWayHome(Exception):
    """The agent of a new machine could not call this server; the text says what to do."""


def address() -> str:
    """Return where machines of clouds reach this server. Raise NoWayHome."""
    if url := for_machines(settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL):
        return url
    raise NoWayHome(
        f"No machine of a cloud can call this server at {settings.DSTACK_PUBLIC_URL}: set "
        "DSTACK_AGENT_URL to an address that machines reach."
    )


def why_none() -> str:
    """Say why no machine of a cloud can be made, "" where it can."""
    try:
        address()
    except NoWayHome as error:
        return str(error)
    return ""


def missing() -> str:
    """Say what keeps machines from services that callers reach, "" where nothing does."""
    if why := why_none():
        return why
    if settings.DSTACK_GATEWAY_SSH_PORT:
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
