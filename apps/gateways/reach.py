"""Whether machines can open tunnels to a gateway: asked before one is made, which costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.conf import settings

from apps.backends import way_home
from apps.gateways.models import Gateway


def of(gateway: Gateway | None) -> Callable[[str], str]:
    """Return what says, of a kind of backend, why its machines could not be reached; "" where they
    could, and where nothing is published."""

    def why_not(backend_kind: str) -> str:
        is_near = gateway is None or gateway.is_on_host_of(backend_kind)
        return "" if is_near or gateway is None else why_no_tunnel(gateway)

    return why_not


def why_no_tunnel(gateway: Gateway) -> str:
    """Return one sentence that says what to set, "" where tunnels are taken."""
    if way_home.is_near_host(gateway.tunnel_host):
        # Where no machine could call this server either, that is said already.
        return "" if way_home.why_none() else _nowhere(gateway)
    if gateway.tunnel_port is not None:
        return ""
    if gateway.reported_at is None:
        return (
            f"gateway {gateway.name} has not reported yet, so that nobody knows where it takes "
            "tunnels of machines: wait for it, or look whether it runs"
        )
    return (
        f"gateway {gateway.name} takes no tunnels, and reaches machines elsewhere by nothing else: "
        + way_home.FOR_TUNNELS
    )


def _nowhere(gateway: Gateway) -> str:
    return (
        f"its machines could not find gateway {gateway.name} at {gateway.tunnel_host}: set "
        "DSTACK_AGENT_URL to an address of this server that they reach, and start it again"
    )


def doubts(gateway: Gateway, backend_kinds: Iterable[str]) -> list[str]:
    """Say that the server's own gateway may be closed to machines: what would let them in nobody
    here can see."""
    is_far = any(not gateway.is_on_host_of(kind) for kind in backend_kinds)
    if not (is_far and gateway.preset and way_home.is_loopback(settings.DSTACK_BIND)):
        return []
    return [
        f"Machines elsewhere reach gateway {gateway.name} only where something passes its port "
        f"{gateway.tunnel_port} on: it listens on {settings.DSTACK_BIND} alone (DSTACK_BIND)."
    ]
