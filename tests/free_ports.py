"""Ports for servers that tests start: such as no outgoing connection takes in the meantime."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile

# Below what the kernel gives to outgoing connections, below what agents give to replicas.
RANGE = range(10_000, 20_000)
# HAProxy shares a port with another HAProxy that has it already, and each of the two gets half of
# the connections. So a port is claimed from when it is chosen, long before somebody listens there,
# until this process ends: its byte of this file, which all test processes of this machine lock.
CLAIMS = f"{tempfile.gettempdir()}/dstack-web-tests.{os.geteuid()}.ports"
_claims = os.open(CLAIMS, os.O_RDWR | os.O_CREAT, 0o600)
_claimed: set[int] = set()


def free_port(ports: range = RANGE) -> int:
    """Return a port of this machine that nobody uses, and that no other call returns."""
    while True:
        port = random.SystemRandom().choice(ports)
        with socket.socket() as trial:
            try:
                trial.bind(("", port))
            except OSError:
                continue
        if _claim(port):
            return port


def _claim(port: int) -> bool:
    if port in _claimed:  # a lock that this process has it would get again
        return False
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _claimed.add(port)
    return True
