"""Another machine for a test, with an engine and a way out: two namespaces of the network.

The engine there has its own rules for packets, as one that a person installed; those of this
machine stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.agent.host import users
from apps.agent.isolation import sandbox
from tests.integration.agent.engines import OwnEngine, await_answer

NEEDED = ("dockerd", "docker", "ip", "iptables", "nsenter")
MISSING = [name for name in NEEDED if not shutil.which(name)]
needs_engine = pytest.mark.skipif(
    bool(MISSING) or not users.can_isolate(), reason=f"needs root and {MISSING or 'namespaces'}"
)

# Its address, and that of the host beyond, by which all its ways lead and which serves HTTP.
ADDRESS, BEYOND, PORT = "192.0.2.201", "192.0.2.202", 8000
# Where a cloud's machine asks about itself; the host beyond answers there too.
METADATA = "169.254.169.254"


@dataclass
class EngineOfAHost(OwnEngine):
    """One with rules of its own, on that machine."""

    host: str = ""

    def start(self) -> None:
        folder = self.folder
        argv = [*within(self.host), "dockerd", "--data-root", f"{folder}/data"]
        argv += ["--exec-root", f"{folder}/exec", "-p", f"{folder}/pid", "-H", self.address]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*argv, "--ip6tables=false"], stdout=log, stderr=log, start_new_session=True
            )
        await_answer(self.address, folder / "log")


def within(namespace: str) -> list[str]:
    """Return the words before a command that run it there."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Be there with this thread: its sockets, threads and children are of that machine."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        sandbox.call("setns", there, sandbox.CLONE_NEWNET)
        yield
    finally:
        sandbox.call("setns", before, sandbox.CLONE_NEWNET)
        os.close(before)
        os.close(there)


def beyond(host: str) -> str:
    """Return the name of the host beyond another one."""
    return f"{host}-beyond"


@contextlib.contextmanager
def host_with_engine(host: str) -> Iterator[EngineOfAHost]:
    """Make such a machine; its engine was not started."""
    outside = beyond(host)
    made = [
        f"ip netns add {host}",
        f"ip netns add {outside}",
        f"ip link add eth0 netns {host} type veth peer name eth0 netns {outside}",
        f"ip -n {host} addr add {ADDRESS}/30 dev eth0",
        f"ip -n {outside} addr add {BEYOND}/30 dev eth0",
        f"ip -n {outside} addr add {METADATA}/32 dev eth0",
        *(
            f"ip -n {name} link set {link} up"
            for name in (host, outside)
            for link in ("lo", "eth0")
        ),
        f"ip -n {host} route add default via {BEYOND}",
    ]
    for command in made:
        subprocess.run(command.split(), check=True)
    web = subprocess.Popen(
        [*within(outside), sys.executable, "-m", "http.server", str(PORT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = Path(tempfile.mkdtemp(prefix="dstb", dir="/tmp"))
    engine = EngineOfAHost(folder, "docker0", host=host)
    try:
        yield engine
    finally:
        if engine.is_running:
            engine.stop()
        subprocess.run(["umount", f"{folder}/exec/netns/default"], capture_output=True)
        web.kill()
        web.wait()
        for name in (host, outside):
            subprocess.run(["ip", "netns", "del", name], check=True)
        shutil.rmtree(folder, ignore_errors=True)
