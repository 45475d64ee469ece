"""Another host for a test: a namespace beside this one, which knows the way to this one alone."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.integration.agent.running import eventually
from tests.made_once import cache

NAME, ADDRESS, PORT = "dstack-outside", "192.0.2.130", 8000
# Where a cloud's machine asks about itself.
METADATA = "169.254.169.254"


@contextlib.contextmanager
def outside() -> Iterator[str]:
    """Yield its address; it serves HTTP on PORT, there and at METADATA.

    Only one test of the machine has it at a time.
    """
    with (cache() / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _made() as address:
            yield address


@contextlib.contextmanager
def _made() -> Iterator[str]:
    made = [
        f"ip netns add {NAME}",
        f"ip link add dst-out type veth peer name eth0 netns {NAME}",
        "ip addr add 192.0.2.129/30 dev dst-out",
        "ip link set dst-out up",
        f"ip -n {NAME} addr add {ADDRESS}/30 dev eth0",
        f"ip -n {NAME} addr add {METADATA}/32 dev eth0",
        f"ip -n {NAME} link set eth0 up",
        f"ip -n {NAME} link set lo up",
        f"ip route add {METADATA}/32 via {ADDRESS} dev dst-out",
    ]
    for command in made:
        subprocess.run(command.split(), check=True)
    # What comes back from there is for this host to pass on, as on the way to the internet.
    Path("/proc/sys/net/ipv4/conf/dst-out/forwarding").write_text("1")
    server = subprocess.Popen(
        ["ip", "netns", "exec", NAME, "python3", "-m", "http.server", str(PORT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: answers(ADDRESS, PORT) and answers(METADATA, PORT))
        yield ADDRESS
    finally:
        server.kill()
        server.wait()
        # With its namespace the device goes some time later: the next one may come before.
        for what in (["link", "del", "dst-out"], ["netns", "del", NAME]):
            subprocess.run(["ip", *what], check=True)


def answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def in_outside(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", "netns", "exec", NAME, *command], capture_output=True, text=True)
