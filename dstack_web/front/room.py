"""How many connections the server has room for: what the number of open files allows.

A connection that is passed on takes two files of the proxy, one on each side.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass

from dstack_web.front.errors import FrontFailed
from dstack_web.variables.values import Values
from dstack_web.variables.variable import BadVariable

# Room for 32,000 connections. Half-sent heads of all of them would be 500 MB.
MOST_FILES = 65_536
# Below it a busy office is refused.
ENOUGH_FILES = 4_096
# Below it the proxy does not start; with so many the whole server works, for a browser or two.
LEAST_FILES = 256
MORE = (
    "Allow more before the start: ulimit -n 65536 (as root), or LimitNOFILE=65536 in a systemd unit"
)
# Connections that do not come by the public door.
SPARE_CONNECTIONS = 50
SETTING = "DSTACK_CONNECTIONS_PER_ADDRESS"
# Of the proxy itself: these, its listeners, its log, programs that it loads.
OWN_FILES = 2 * SPARE_CONNECTIONS + 100


@dataclass(frozen=True)
class Room:
    """`connections` at once in all, `per_address` of one caller.

    From `crowd` on, one caller may have `in_crowd`: whoever takes most is refused first, and the
    rest is for the others.
    """

    connections: int
    per_address: int

    @property
    def crowd(self) -> int:
        return self.connections * 3 // 4

    @property
    def in_crowd(self) -> int:
        return min(self.per_address, max(self.connections // 32, 8))


def room(*, files: int, environ: Mapping[str, str]) -> Room:
    """Return the room that so many open files give. Raise FrontFailed."""
    if files < LEAST_FILES:
        raise FrontFailed(
            f"Only {files} files may be open at once, and the server needs {LEAST_FILES}. {MORE}"
        )
    connections = max((files - OWN_FILES) // 2, 32)
    return Room(connections, per_address(environ) or connections * 3 // 5)


def per_address(environ: Mapping[str, str]) -> int:
    """Return the bound that is set, 0 where none is. Raise FrontFailed."""
    try:
        return Values(environ).whole(SETTING)
    except BadVariable as error:
        raise FrontFailed(str(error)) from None


def allow_files() -> int:
    """Take as many open files as this user may have, for all children too; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def complaint(files: int) -> str:
    """Return what to tell a person about few open files; nothing where they are enough, or so few
    that there is no room."""
    if not LEAST_FILES <= files < ENOUGH_FILES:
        return ""
    connections = room(files=files, environ={}).connections
    return (
        f"Only {files} files may be open at once, room for {connections} connections: more are "
        f"refused. {MORE}"
    )
