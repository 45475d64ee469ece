"""Where machines of clouds reach this server, and what to set where they would not."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings


class NoWayHome(Exception):
    """The agent of a new machine could not call this server; the text says what to do."""


def address() -> str:
    """Return where machines of clouds reach this server. Raise NoWayHome."""
    for url in (settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL):
        if not is_near(url):
            return str(url)
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


def is_near(url: str) -> bool:
    """Tell whether an address means nothing elsewhere: of loopback, or a name without a dot, as
    containers call each other."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith(".localhost")
