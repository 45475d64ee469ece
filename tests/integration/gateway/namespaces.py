"""A host of its own in a network namespace, joined to this machine by one cable."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.programs import require_program


@dataclass(frozen=True)
class Host:
    """`near` is this machine's end of the cable, `far` the host's."""

    name: str
    near: str
    far: str

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def cut(self) -> None:
        ip("link", "set", self.name, "down")

    def mend(self) -> None:
        ip("link", "set", self.name, "up")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20, capture_output=True)


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """Make a host that reaches this machine by one address, and nothing of its loopback."""
    require_program("ip", package="iproute2")
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    number = secrets.randbelow(250) + 1
    made = Host(f"dt{secrets.token_hex(3)}", f"10.214.{number}.1", f"10.214.{number}.2")
    ip("netns", "add", made.name)
    try:
        ip("link", "add", made.name, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        ip("addr", "add", f"{made.near}/30", "dev", made.name)
        ip("link", "set", made.name, "up")
        ip("-n", made.name, "addr", "add", f"{made.far}/30", "dev", "eth0")
        ip("-n", made.name, "link", "set", "eth0", "up")
        ip("-n", made.name, "link", "set", "lo", "up")
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", made.name], check=False, timeout=20)
        subprocess.run(["ip", "link", "del", made.name], check=False, capture_output=True)
