"""Which port of a gateway a tunnel gets. Pure."""

from __future__ import annotations

from collections.abc import Collection

FIRST, LAST = 20000, 31999
# Agents give replicas of their own host ports below; where one runs beside the gateway, these are
# free.
PREFERRED = 30000


def choose(taken: Collection[int], *, start: int) -> int | None:
    """Return a port that is not taken, None where all are; a preferred one while there is one.

    `start` is any number: who asks at the same moment with another one gets another port.
    """
    for ports in (range(PREFERRED, LAST + 1), range(FIRST, PREFERRED)):
        for offset in range(len(ports)):
            port = ports[(start + offset) % len(ports)]
            if port not in taken:
                return port
    return None
