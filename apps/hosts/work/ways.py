"""How the agent of a host calls this server: itself, or through a gateway where nobody can."""

from __future__ import annotations

from apps.backends import way_home
from apps.backends.way_home import WayHome
from apps.hosts.models import Host
from apps.instances.boot import document, home
from apps.instances.models import Instance


def of(host: Host) -> WayHome:
    """Return the way of a host's agent, also before it has one. Raise way_home.NoWayHome."""
    instance = host.instance
    if instance is None or instance.is_final:
        return way_home.of(home.any_usable(host.project_id))
    return way_home.of(home.of(instance))


def files(instance: Instance, way: WayHome) -> list[dict[str, str]]:
    """Return what keeps it open on the host, as a machine of a cloud boots with it."""
    if way.kind == way_home.DIRECT:
        return []
    return document.way_files(document.ToGateway(way, home.boot_key(instance).private))
