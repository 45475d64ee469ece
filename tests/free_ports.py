"""Ports for servers that tests start: such as no outgoing connection takes in the meantime."""

from __future__ import annotations

import random
import socket

# Below what the kernel gives to outgoing connections, below what agents give to replicas.
RANGE = range(10_000, 20_000)


def free_port() -> int:
    """Return a port of this machine that nobody uses, by chance: other tests choose one too."""
    while True:
        port = random.SystemRandom().choice(RANGE)
        with socket.socket() as trial:
            try:
                trial.bind(("", port))
            except OSError:
                continue
        return port
