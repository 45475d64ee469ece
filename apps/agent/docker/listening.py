"""Whether a container is reached on its port, and why not: what listens in its own network."""

from __future__ import annotations

import typing
from pathlib import Path

from apps.agent.host import ports, procs

# The engine's own name server for containers listens there, on a port of its choice.
NAME_SERVER = "127.0.0.11"


def why_not_reached(pid: int, port: int) -> str:
    """Say why nothing is reached on a container's port; "" where that is not the reason.

    `pid` is the container's first process, as this host knows it.
    """
    if not procs.is_first_of_its_own(pid):
        return ""  # an engine of another machine, or the process is gone
    try:
        return said(ports.listeners(None, net=Path(f"/proc/{pid}/net")), port)
    except OSError:
        return ""


def is_seen(pid: int, port: int) -> bool:
    """Tell whether something listens on a container's port where it can be reached; False also
    where that cannot be seen."""
    if not procs.is_first_of_its_own(pid):
        return False
    try:
        found = ports.listeners(None, net=Path(f"/proc/{pid}/net"))
    except OSError:
        return False
    return any(one.port == port and not _is_loopback(one.host) for one in found)


def said(listening: typing.Iterable[ports.Listener], port: int) -> str:
    """Put what listens in a container into words; "" where it can be reached on `port`."""
    found = [one for one in listening if one.host != NAME_SERVER]
    here = [one for one in found if one.port == port]
    if any(not _is_loopback(one.host) for one in here):
        return ""
    refused = f"connection refused on {port}"
    if here:
        return (
            f"{refused}: it listens on {here[0].host} inside the container, where only the "
            "container reaches it: listen on 0.0.0.0"
        )
    if others := ports.named(one.port for one in found if not _is_loopback(one.host)):
        return (
            f"{refused}: nothing listens on it in the container, but on {others}: "
            "write that port as `port`, or let it listen on $PORT"
        )
    return f"{refused}: nothing listens on it in the container yet"


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith(("127.", "::ffff:127."))
