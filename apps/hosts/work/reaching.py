"""How a host is reached: its row as a target of ssh."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from apps.hosts import keys
from apps.hosts.address import checked, parse
from apps.hosts.models import Host
from apps.hosts.ssh import client


def run(host: Host, command: Sequence[str], script: str, *, seconds: float) -> client.Ran:
    """Run a script there. Raise SshError."""
    jump = parse(host.jump) if host.jump else None
    place = checked(host.user, host.address, host.port)
    networks = settings.DSTACK_HOST_NETWORKS
    target = client.Target(place, keys.of_host(host), jump, host.known_hosts, networks)
    return client.run(target, command, script, seconds=seconds)


def as_root(host: Host) -> tuple[str, ...]:
    """Return the command that runs a script there as root, as the check found it."""
    return client.PLAIN if host.fact("root") == "yes" else client.BY_SUDO


def note_offer(host: Host, error: client.SshError) -> None:
    """Keep another key that was shown, for a person to accept it."""
    if isinstance(error, client.OtherKey):
        offer = {"offered_known_hosts": error.known_hosts, "offered_fingerprint": error.fingerprint}
        Host.objects.filter(pk=host.pk).update(**offer)
