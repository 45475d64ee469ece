"""How this host keeps process replicas apart: found at the agent's start, told the server."""

from __future__ import annotations

import contextlib
import dataclasses
import typing

from apps.agent import wire
from apps.agent.host import files
from apps.agent.host.home import Home
from apps.agent.isolation import cgroups
from apps.agent.isolation.network import Network, Unavailable

# Where the server on this host reads it, which offers the host before it has an instance.
FILE = "isolation.json"


def begin(
    home: Home, network: typing.Optional[Network], *, log: typing.Callable[[str], None]
) -> tuple[typing.Optional[Network], wire.Isolation]:
    """Open the replicas' network; return it where that worked, and what keeps replicas apart."""
    why = home.remark or "the agent was told so"
    if network is not None:
        try:
            network.open()
            why = ""
        except Unavailable as error:
            network, why = None, str(error)
            log(f"replicas share the network of this host: {why}")
    unbounded = cgroups.check()
    if unbounded:
        log(f"nothing bounds the memory and processes of replicas: {unbounded}")
    found = wire.Isolation(_level(home, network), why, unbounded)
    with contextlib.suppress(OSError):
        files.write_json(home.root / FILE, dataclasses.asdict(found))
    return network, found


def _level(home: Home, network: typing.Optional[Network]) -> str:
    if not home.isolate:
        return wire.ISOLATED_BY_NOTHING
    return wire.ISOLATED_BY_USER if network is None else wire.ISOLATED_BY_NETWORK


def end(home: Home) -> None:
    """Put the host's network and control groups back as they were, also after a killed agent."""
    if home.isolate:
        Network(home.base, home_id=home.home_id).close()
    cgroups.remove_parents()
