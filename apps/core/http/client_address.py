"""Where a request comes from, behind a proxy that one trusts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(request: HttpRequest) -> str:
    """Return the caller's address: the last one named that is no proxy of ours.

    A proxy appends the address that called it to `X-Forwarded-For`, so what stands before an
    address that is not trusted may be anybody's invention.
    """
    trusted = settings.DSTACK_TRUSTED_PROXIES
    address = str(request.META.get("REMOTE_ADDR", ""))
    named = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    for before in reversed([part.strip() for part in named if part.strip()]):
        if not _is_among(address, trusted):
            break
        address = before
    return address


def _is_among(text: str, networks: Iterable[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in networks)
