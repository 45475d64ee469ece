"""As root, in namespaces of its own: who reaches what the cloud tells a machine of itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.host import users
from tests.integration.agent.running import eventually

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to make namespaces")

ROOT = Path(__file__).parents[3]
ADDRESS, ADDRESS_V6 = "169.254.169.254", "fd00:ec2::254"
# A machine between a cloud, where the address answers, and a container of the machine.
MACHINE, CLOUD, CONTAINER = "dstack-md-host", "dstack-md-cloud", "dstack-md-guest"
SET_UP = f"""
ip netns add {MACHINE}
ip netns add {CLOUD}
ip netns add {CONTAINER}
ip link add eth0 netns {MACHINE} type veth peer name eth0 netns {CLOUD}
ip link add guest netns {MACHINE} type veth peer name eth0 netns {CONTAINER}
ip -n {MACHINE} addr add 192.0.2.1/30 dev eth0
ip -n {CLOUD} addr add 192.0.2.2/30 dev eth0
ip -n {CLOUD} addr add {ADDRESS}/32 dev eth0
ip -n {MACHINE} addr add 192.0.2.5/30 dev guest
ip -n {MACHINE} -6 addr add 2001:db8:1::1/64 dev eth0 nodad
ip -n {CLOUD} -6 addr add 2001:db8:1::2/64 dev eth0 nodad
ip -n {CLOUD} -6 addr add {ADDRESS_V6}/128 dev eth0 nodad
ip -n {MACHINE} -6 addr add 2001:db8:2::1/64 dev guest nodad
ip -n {CONTAINER} -6 addr add 2001:db8:2::2/64 dev eth0 nodad
ip -n {CONTAINER} addr add 192.0.2.6/30 dev eth0
ip -n {MACHINE} link set eth0 up
ip -n {MACHINE} link set guest up
ip -n {CLOUD} link set eth0 up
ip -n {CLOUD} link set lo up
ip -n {CONTAINER} link set eth0 up
ip -n {MACHINE} route add default via 192.0.2.2
ip -n {CLOUD} route add default via 192.0.2.1
ip -n {CONTAINER} route add default via 192.0.2.5
ip netns exec {MACHINE} sysctl -q -w net.ipv4.ip_forward=1
ip netns exec {MACHINE} sysctl -q -w net.ipv6.conf.all.forwarding=1
ip -n {MACHINE} -6 route add default via 2001:db8:1::2
ip -n {CLOUD} -6 route add default via 2001:db8:1::1
ip -n {CONTAINER} -6 route add default via 2001:db8:2::1
"""
SERVE = """
import socket, threading, time
def serve(port):
    with socket.create_server(
        ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
    ) as listening:
        while True:
            listening.accept()[0].close()
for port in (53, 80):
    threading.Thread(target=serve, args=(port,), daemon=True).start()
time.sleep(120)
"""
ASK = """
import os, socket, sys
uid, address, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
address.encode("idna")  # loads what another user may not read
os.setuid(uid)
socket.create_connection((address, port), timeout=3)
"""
CLOSE = "from apps.agent.isolation import metadata; metadata.close(); metadata.close()"


def inside(namespace: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = ["ip", "netns", "exec", namespace, sys.executable, *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)


def reaches(namespace: str, uid: int, address: str = ADDRESS, port: int = 80) -> bool:
    return inside(namespace, "-c", ASK, str(uid), address, str(port)).returncode == 0


def is_open(address: str) -> bool:
    return reaches(CONTAINER, 0, address) and reaches(MACHINE, users.FIRST_UID, address)


@pytest.fixture(scope="module")
def machine() -> Iterator[str]:
    server = None
    try:
        for line in SET_UP.strip().splitlines():
            subprocess.run(line.split(), check=True)
        argv = ["ip", "netns", "exec", CLOUD, sys.executable, "-c", SERVE]
        server = subprocess.Popen(argv)
        eventually(lambda: all(is_open(address) for address in (ADDRESS, ADDRESS_V6)))
        assert inside(MACHINE, "-c", CLOSE).stderr == ""
        yield MACHINE
    finally:
        if server is not None:
            server.kill()
            server.wait()
        for name in (MACHINE, CLOUD, CONTAINER):
            subprocess.run(["ip", "netns", "del", name], check=False)


both = pytest.mark.parametrize("address", [ADDRESS, ADDRESS_V6], ids=["v4", "v6"])
OTHER = {ADDRESS: "192.0.2.2", ADDRESS_V6: "2001:db8:1::2"}


@both
@pytest.mark.parametrize("uid", [0, 1, 101, 65534, users.FIRST_UID - 1])
def test_the_machine_itself_is_told_what_it_is(machine: str, uid: int, address: str) -> None:
    assert reaches(machine, uid, address)


@both
@pytest.mark.parametrize("uid", [users.FIRST_UID, users.FIRST_UID + 1, 2**31 - 1, 2**32 - 2])
def test_no_user_of_a_replica_is_told(machine: str, uid: int, address: str) -> None:
    assert not reaches(machine, uid, address)
    assert reaches(machine, uid, OTHER[address])


@both
@pytest.mark.parametrize("uid", [0, users.FIRST_UID])
def test_nothing_is_passed_on_to_it(machine: str, uid: int, address: str) -> None:
    assert not reaches(CONTAINER, uid, address)
    assert reaches(CONTAINER, uid, OTHER[address])


@both
@pytest.mark.parametrize("namespace", [MACHINE, CONTAINER])
def test_names_are_still_answered_there(machine: str, namespace: str, address: str) -> None:
    assert reaches(namespace, users.FIRST_UID, address, port=53)
