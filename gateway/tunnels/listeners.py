"""Who listens on the ports of tunnels: what the kernel says of sockets and of processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.schema import FIRST_TUNNEL_PORT, LAST_TUNNEL_PORT

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTEN = "0A"


@dataclass(frozen=True)
class Listener:
    port: int
    uid: int
    inode: int


def on_tunnel_ports(tables: Iterable[Path] = TABLES) -> list[Listener]:
    """Return what listens on ports that tunnels may have, whoever it is."""
    found = []
    for table in tables:
        try:
            rows = table.read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for row in rows:
            fields = row.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == LISTEN and FIRST_TUNNEL_PORT <= port <= LAST_TUNNEL_PORT:
                found.append(Listener(port, int(fields[7]), int(fields[9])))
    return found


def sockets_of(groups: Mapping[int, str]) -> dict[int, str]:
    """Return whose socket each inode is: of the process groups, each with its name.

    What a user who is not root may not look at is left out.
    """
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            name = groups.get(os.getpgid(int(entry.name)))
            if name is None:
                continue
            for handle in os.scandir(f"/proc/{entry.name}/fd"):
                target = str(Path(handle.path).readlink())
                if target.startswith("socket:["):
                    found[int(target[8:-1])] = name
        except OSError:
            # It has ended, or is not ours to look at.
            continue
    return found
