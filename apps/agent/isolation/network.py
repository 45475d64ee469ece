"""A network of its own for each process replica, where the agent is root and the kernel can.

Replicas of several people share a host. In a namespace of its own a replica has its own loopback
and one interface, `eth0`, whose other end (`dsk` + five characters of the agent's home + the
replica's number) is on the host:

- in: the host's root (gateway and agent) reaches the replica's port at its address, also where the
  program listens on 127.0.0.1. No other user of the host does, nor another host.
- out: everything that the host reaches, but no other replica, no container, no metadata address of
  a cloud and no port of the host other than the gateway's public ones, which also answer on the
  replica's own 127.0.0.1, as they do on the host.

The namespace has no name: it lives as long as the replica or its shim, and its interfaces go with
it, whoever was killed. What else is changed on the host is the agent's table of packet rules and
that packets are passed on (`forwarding`) by the interface of the default route, and the host's own
address for replicas on its loopback; all are put back when the agent stops. No address of the host
comes or goes with a replica: browsers there would take it for another network and drop what they
just load (ERR_NETWORK_CHANGED). There is no IPv6 in there but for the loopback's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import ipaddress
import os
import shutil
import socket
import subprocess
import threading
import typing
from dataclasses import dataclass
from pathlib import Path

from apps.agent.host import files, users
from apps.agent.isolation import netlink, sandbox
from apps.agent.isolation import nftables as nft
from apps.agent.isolation.network_rules import INSIDE, PREFIX, Rules

STATE = "network.json"
# The first that the host does not use already; each has room for all users of replicas.
RANGES = ("10.213.0.0/16", "10.167.0.0/16", "172.29.0.0/16", "10.91.0.0/16")
LOOPBACK_INTERFACE = "lo"
# What all agents of a host have, and nobody else locks.
SHARED = "/proc/sys/net/ipv4"
IPTABLES_SECONDS = 5.0
INSIDE_TABLE = "dstack"


class Unavailable(Exception):
    """This host gives replicas no network of their own; the text says why."""


@dataclass(frozen=True)
class Inside:
    """A replica's network: an open descriptor of its namespace, and its address for the host."""

    namespace: int
    address: str


class Network:
    """The host's side: made once by the agent, asked for a namespace by each replica."""

    def __init__(
        self, home: Path, *, home_id: str, public_ports: typing.Sequence[int] = ()
    ) -> None:
        self._state = home / STATE
        self._interfaces = f"{PREFIX}{home_id[:5]}"
        self._table = f"dstack_{home_id[:8]}"
        self._lock = threading.Lock()
        self._gateway_ports = tuple(public_ports)
        self._range = ipaddress.IPv4Network(RANGES[0])

    @property
    def host_address(self) -> str:
        """The host's, as replicas see it."""
        return self._rules().host_address

    def _rules(self) -> Rules:
        return Rules(f"{self._interfaces}*", self._range, self._gateway_ports)

    def open(self) -> None:
        """Write the host's rules; again, they are written anew. Raise Unavailable."""
        if os.geteuid() != 0:
            raise Unavailable("the agent is not root")
        with self._lock:
            self._range = _free_range()
            try:
                sandbox.check()
                self._hold_address()
                nft.replace_table(self._table, self._rules().host())
                self._forward(_default_interfaces())
            except OSError as error:
                raise Unavailable(f"the kernel refuses: {error.strerror or error}") from error
        self.let_pass()

    def let_pass(self) -> None:
        """Have an engine's own rules let packets of replicas pass; it may have started just now."""
        with self._lock:
            _let_docker_pass(f"{self._interfaces}+", add=True)

    def close(self) -> None:
        """Put the host back as it was found."""
        with self._lock, contextlib.suppress(OSError):
            for path, before in (files.read_json(self._state) or {}).items():
                with contextlib.suppress(OSError):
                    Path(path).write_text(before)
            _let_docker_pass(f"{self._interfaces}+", add=False)
            nft.replace_table(self._table, [])
            self._give_address_back()
            self._state.unlink()

    def _hold_address(self) -> None:
        """Give the loopback the address by which replicas know the host; it may have it already."""
        with netlink.Netlink(netlink.NETLINK_ROUTE) as route, contextlib.suppress(FileExistsError):
            netlink.add_address(route, name=LOOPBACK_INTERFACE, address=self.host_address)

    def _give_address_back(self) -> None:
        """Unless replicas are left that need it, of this agent or another."""
        with _alone(), netlink.Netlink(netlink.NETLINK_ROUTE) as route:
            if any(name.startswith(PREFIX) for _, name in socket.if_nameindex()):
                return
            # Of each range: whoever puts the host back may not be who chose one.
            for text in RANGES:
                address = dataclasses.replace(
                    self._rules(), addresses=ipaddress.IPv4Network(text)
                ).host_address
                with contextlib.suppress(OSError):
                    netlink.delete_address(route, name=LOOPBACK_INTERFACE, address=address)

    def make(self, *, uid: int, port: int) -> Inside:
        """Return the network of the replica with this user, which will listen on `port`.

        The caller closes the descriptor. Raise Unavailable.
        """
        self.let_pass()
        name = f"{self._interfaces}{uid - users.FIRST_UID}"
        address = str(self._range[uid - users.FIRST_UID + 2])
        with self._lock, _alone():
            try:
                self._forward(_default_interfaces())
                self._hold_address()
                namespace = _in_new_namespace()
                try:
                    self._connect(namespace, name=name, address=address)
                    _in_namespace(namespace, lambda: self._furnish(address=address, port=port))
                except BaseException:
                    os.close(namespace)
                    raise
            except OSError as error:
                raise Unavailable(f"the kernel refuses: {error.strerror or error}") from error
        return Inside(namespace, address)

    def _connect(self, namespace: int, *, name: str, address: str) -> None:
        with netlink.Netlink(netlink.NETLINK_ROUTE) as route:
            with contextlib.suppress(OSError):
                # An earlier replica's, which the kernel has not cleared away yet.
                netlink.delete_link(route, name)
            netlink.add_veth(route, name=name, peer=INSIDE, namespace=namespace)
            _set(f"ipv6/conf/{name}/disable_ipv6", "1")
            _set(f"ipv4/conf/{name}/forwarding", "1")
            _set(f"ipv4/conf/{name}/route_localnet", "1")
            netlink.set_up(route, name)
            netlink.add_route(route, name=name, to=address, source=self.host_address)

    def _furnish(self, *, address: str, port: int) -> None:
        """In the namespace: addresses, routes and rules."""
        with netlink.Netlink(netlink.NETLINK_ROUTE) as route:
            _set(f"ipv6/conf/{INSIDE}/disable_ipv6", "1")
            _set(f"ipv4/conf/{INSIDE}/route_localnet", "1")
            # Where it is alone it may have any port.
            _set("ipv4/ip_unprivileged_port_start", "0")
            netlink.set_up(route, "lo")
            netlink.add_address(route, name=INSIDE, address=address)
            netlink.set_up(route, INSIDE)
            netlink.add_route(route, name=INSIDE, to=self.host_address)
            netlink.add_route(route, name=INSIDE, to=None, via=self.host_address)
        nft.replace_table(INSIDE_TABLE, self._rules().inside(port))

    def _forward(self, interfaces: typing.Iterable[str]) -> None:
        """Let answers pass from the outside to replicas, and note what to put back."""
        before = files.read_json(self._state) or {}
        for interface in interfaces:
            path = f"/proc/sys/net/ipv4/conf/{interface}/forwarding"
            value = Path(path).read_text().strip()
            if value != "1":
                before.setdefault(path, value)
                files.write_json(self._state, before)
                Path(path).write_text("1")


def _set(name: str, value: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path("/proc/sys/net", name).write_text(value)


def _routes() -> typing.Iterator[tuple[str, ipaddress.IPv4Network]]:
    """Yield the host's routes: interface and destination."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, to, *rest = line.split()
        mask = rest[5]
        numbers = [int(text, 16).to_bytes(4, "little") for text in (to, mask)]
        address, netmask = (ipaddress.IPv4Address(number) for number in numbers)
        yield interface, ipaddress.IPv4Network(f"{address}/{netmask}", strict=False)


def _default_interfaces() -> set[str]:
    return {interface for interface, network in _routes() if network.prefixlen == 0}


def _free_range() -> ipaddress.IPv4Network:
    """Return the addresses of replicas: the same for all agents of a host."""
    taken = [
        network
        for interface, network in _routes()
        if network.prefixlen > 0 and not interface.startswith(PREFIX)
    ]
    for text in RANGES:
        candidate = ipaddress.IPv4Network(text)
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise Unavailable(f"this host's networks overlap {', '.join(RANGES)}")


def _let_docker_pass(interfaces: str, *, add: bool) -> None:
    """Docker's own rules drop what is passed on unless its chain for users lets it pass."""
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return
    answered = ("-o", interfaces, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    for rule in (("-i", interfaces), answered):
        given = ("DOCKER-USER", *rule, "-j", "ACCEPT")
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            there = _iptables(program, "-C", *given)
            if add and not there and _iptables(program, "-L", "DOCKER-USER", "-n"):
                _iptables(program, "-I", *given)
            elif not add and there:
                _iptables(program, "-D", *given)


def _iptables(program: str, *arguments: str) -> bool:
    ran = subprocess.run(
        [program, "-w", "2", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=IPTABLES_SECONDS,
    )
    return ran.returncode == 0


@contextlib.contextmanager
def _alone() -> typing.Iterator[None]:
    """Keep the other agents of this host away from the address that all of them share: one that
    ends gives it back, and the route of a replica that is just being made would lose its source."""
    descriptor = os.open(SHARED, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _in_new_namespace() -> int:
    """Return a descriptor of a new network namespace, which nothing else holds."""
    found: list[int] = []

    def make() -> None:
        sandbox.call("unshare", sandbox.CLONE_NEWNET)
        found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    _in_thread(make)
    return found[0]


def _in_namespace(namespace: int, work: typing.Callable[[], None]) -> None:
    def enter_and_work() -> None:
        sandbox.call("setns", namespace, sandbox.CLONE_NEWNET)
        work()

    _in_thread(enter_and_work)


def _in_thread(work: typing.Callable[[], None]) -> None:
    """Work in a thread that ends afterwards: only a thread changes its namespace, and for good."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised again below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
