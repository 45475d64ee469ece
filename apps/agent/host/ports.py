"""Ports on a host whose replicas share one network: giving free ones, and whose socket listens."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import typing
from pathlib import Path

# Below the ports that the kernel gives to outgoing connections.
FIRST, LAST = 20000, 29999
# From here on the kernel gives ports to who asks for any: programs that speak with themselves.
FIRST_UNASKED = 32768
MOST_NAMED = 3
LISTEN = "0A"
ANY_V4, ANY_V6 = "0.0.0.0", "::"


class NoFreePort(Exception):
    """All ports of the range are in use."""


class Ports:
    """The ports given to this host's workloads; safe to use from several threads."""

    def __init__(self, taken: typing.Iterable[int] = ()) -> None:
        self._taken = set(taken)
        self._lock = threading.Lock()

    def take(self) -> int:
        """Return a port that nobody has or listens on. Raise NoFreePort."""
        # In random order: another agent on this host, which we cannot see, rarely picks the same.
        candidates = list(range(FIRST, LAST + 1))
        random.shuffle(candidates)
        with self._lock:
            for port in candidates:
                if port not in self._taken and _is_free(port):
                    self._taken.add(port)
                    return port
        raise NoFreePort(f"all ports from {FIRST} to {LAST} are in use on this host")

    def keep(self, port: int) -> None:
        with self._lock:
            self._taken.add(port)

    def give_back(self, port: int) -> None:
        with self._lock:
            self._taken.discard(port)


def _is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, ANY_V4), (socket.AF_INET6, ANY_V6)):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind((host, port))
        except OSError:
            # A host without IPv6 cannot have the port taken there.
            if family == socket.AF_INET or socket.has_ipv6 and _has_ipv6():
                return False
    return True


def _has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()


class Listener(typing.NamedTuple):
    host: str
    port: int
    inode: int


def listeners(
    ports: typing.Optional[typing.Container[int]], *, net: Path = Path("/proc/net")
) -> list[Listener]:
    """Return the sockets that listen on one of the ports, on any without `ports`.

    `net` are the kernel's tables: of this host, or of a process with a network of its own.
    """
    return [
        listener
        for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6))
        for listener in _read(net / table, family)
        if ports is None or listener.port in ports
    ]


def _read(table: Path, family: int) -> typing.Iterator[Listener]:
    with contextlib.suppress(FileNotFoundError), table.open() as file:
        next(file, None)
        for line in file:
            fields = line.split()
            # The kernel lists those that listen first: a host with many connections costs nothing.
            if fields[3] != LISTEN:
                break
            address, _, port = fields[1].partition(":")
            yield Listener(_host(address, family), int(port, 16), int(fields[9]))


def _host(text: str, family: int) -> str:
    """The kernel writes an address as 32-bit words in the machine's own order of bytes."""
    raw = b"".join(
        int(text[i : i + 8], 16).to_bytes(4, _BYTE_ORDER) for i in range(0, len(text), 8)
    )
    return socket.inet_ntop(family, raw)


_BYTE_ORDER: typing.Final = "little" if int.from_bytes(b"\x01\x00", "little") == 1 else "big"


def owned_by(pids: typing.Iterable[int], inodes: typing.Container[int]) -> set[int]:
    """Return those socket inodes that one of the processes holds open."""
    found: set[int] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(entry.readlink())
                    if target.startswith("socket:["):
                        found.add(int(target[8:-1]))
    return {inode for inode in found if inode in inodes}


def takes_loopback(listener: Listener) -> bool:
    """Tell whether the socket takes what comes for 127.0.0.1."""
    return listener.host in (ANY_V4, ANY_V6, "127.0.0.1", "::ffff:127.0.0.1")


def where_else(listening: typing.Sequence[Listener], *, port: int, name: str = "") -> str:
    """Return what to tell about sockets that nobody reaches; empty where there are none.

    `name` is what a command must write, where `port` is given and no number of the service file.
    """
    for listener in listening:
        if listener.port == port:
            return f"it listens on {listener.host} alone; let it listen on 127.0.0.1 or 0.0.0.0"
    if found := named(listener.port for listener in listening):
        instead = (
            f"let it listen on {name}" if name else f"let it listen on {port} or change `port`"
        )
        return f"it listens on port {found}; {instead}"
    return ""


def named(found: typing.Iterable[int]) -> str:
    """Return those ports that somebody may have meant, in words; empty where there are none.

    One that the kernel may have chosen was meant where it is the only one: a model server opens a
    dozen of them for its own parts, minutes before it listens for callers.
    """
    listening = sorted(set(found))
    meant = [port for port in listening if port < FIRST_UNASKED]
    if not meant and len(listening) == 1:
        meant = listening
    *others, last = [str(port) for port in meant[:MOST_NAMED]] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def address_of(listener: Listener) -> str:
    """Return the "host:port" by which this host reaches the socket.

    The port follows the last colon, also after an IPv6 address, which has no brackets.
    """
    host = listener.host
    if host == ANY_V4 or host.startswith("127."):
        host = "127.0.0.1" if host == ANY_V4 else host
    elif host == ANY_V6:
        # It usually takes IPv4 too; only trying tells.
        host = "127.0.0.1" if connects("127.0.0.1", listener.port) else "::1"
    elif host.startswith("::ffff:"):
        host = host[len("::ffff:") :]
    return f"{host}:{listener.port}"


def connects(host: str, port: int, *, timeout: float = 1.0) -> bool:
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False
