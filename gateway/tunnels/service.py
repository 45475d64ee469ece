"""Tunnels as one part of the sidecar: who may come in, who is in, who has to leave."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

from gateway.errors import TunnelsUnavailable
from gateway.schema import Status, Table, TunnelKey, TunnelServer
from gateway.tunnels import authorized_keys, connections, listeners, sshd
from gateway.tunnels.connections import Connection

log = logging.getLogger(__name__)

SOCKET = "tunnels.sock"
BACKLOG = 256
# Each is two processes.
MOST_CONNECTIONS = 2000
MOST_UNKNOWN = 64
# To log in takes less, also where all machines come back at once: before, nobody is cut off for
# the next one's sake, or none of them would ever be in.
LOGS_IN_SECONDS = 3.0
# Of one machine: one for each port and one to the server, and some for those that died or came too
# early, which stay for seconds.
EACH_PORT, BESIDES = 4, 8
LOOK_SECONDS = 0.05
SWEEP_SECONDS = 5.0
# While a tunnel is cut, its port is anybody's: how soon who takes it is noticed.
WATCH_SECONDS = 1.0
RETRY_SECONDS = 30.0
# An agent gives up a port that is freed by itself; who does not within this time is cut off.
GRACE_SECONDS = 5.0
# Looking at many connections takes a while: at most a tenth of the time is spent on it.
FRESH_SECONDS, FRESH_SHARE = 0.2, 10
# Stand for fingerprints: of a key that is not known yet, of a listener that is no connection of
# ours, and of one of whose connection only root may see which it is.
NOBODY, FOREIGN, UNSEEN = "nobody", "foreign", ""
OFF = "nobody can open a tunnel to this gateway"


class Tunnels:
    """`table` gives the table in force; `on_change` is called when the status may have changed,
    `withdraw` with addresses at which somebody listens who is not their machine."""

    def __init__(
        self,
        *,
        home: Path,
        port: int,
        table: Callable[[], Table],
        on_change: Callable[[], None],
        withdraw: Callable[[list[str]], None],
    ) -> None:
        self._home = home
        self._port = port
        self._table = table
        self._on_change = on_change
        self._withdraw = withdraw
        self._sshd: sshd.Sshd | None = None
        self._error = "" if port else f"{OFF}: it has no port for them (DSTACK_GATEWAY_SSH_PORT)"
        self._keys: list[TunnelKey] | None = None
        self._owners: dict[int, str] = {}
        self._welcome: dict[str, int] = {}
        self._connections: dict[int, Connection] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._notified = asyncio.Event()
        self._overdue: dict[tuple[int, int], float] = {}
        self._holders: dict[int, str] = {}
        self._cut: list[int] = []
        self._fresh_until = 0.0

    async def run(self) -> None:
        """Let agents in until this is cancelled."""
        path = self._home / SOCKET
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            path.chmod(0o600)
            listener.setblocking(False)
            living = await self._prepare()
            listener.listen(BACKLOG)
            for connection in living:
                self._watch(connection)
            # Only now: who hears of it comes at once.
            self._on_change()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._accept(listener))
                group.create_task(self._sweep())
                group.create_task(self._watch_ports())

    def stop(self) -> None:
        """Cut everybody off."""
        for connection in self._connections.values():
            connection.end()

    def notify(self) -> None:
        """Take note that the table may have changed."""
        if self._table().tunnels is not self._keys:
            self._notified.set()

    def completed(self, status: Status) -> Status:
        """Add to the status where tunnels are opened and which are cut, or why none can be."""
        if self._sshd is None:
            wanted = self._port or self._table().tunnels
            errors = [each for each in (status.error, self._error if wanted else "") if each]
            return status.model_copy(update={"error": "; ".join(errors)})
        server = TunnelServer(port=self._port, user=self._sshd.user, host_key=self._sshd.host_key)
        return status.model_copy(update={"tunnels": server, "cut": self._cut})

    def why_not(self, address: str) -> str:
        """Say why whoever listens at a tunnel's address is not its machine; "" where it is, and for
        other addresses. A program of this host may listen there."""
        host, _, port = address.rpartition(":")
        owners = self._owners if self._table().tunnels is self._keys else self._ports()
        owner = owners.get(int(port)) if host == authorized_keys.LOOPBACK else None
        if owner is None:
            return ""
        if self._sshd is None:
            return self._error or "the tunnel is not open yet"
        holder = self._look().get(int(port))
        if holder is None:
            return "the tunnel is not open yet"
        return "" if holder in (owner, UNSEEN) else f"port {port} belongs to somebody else"

    async def _prepare(self) -> list[Connection]:
        """Return the connections of an earlier sidecar once there is all that sshd needs."""
        while True:
            try:
                made = await asyncio.to_thread(sshd.prepare, self._home)
                living = await asyncio.to_thread(connections.found)
                self._sshd = made
                self._write()
                self._error = ""
                return living
            except (TunnelsUnavailable, OSError) as error:
                self._sshd = None
                if self._error != f"{OFF}: {error}":
                    self._error = f"{OFF}: {error}"
                    log.error("%s", self._error)
                self._on_change()
            await asyncio.sleep(RETRY_SECONDS)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            peer, _ = await loop.sock_accept(listener)
            with peer:
                if len(self._connections) >= MOST_CONNECTIONS or not self._has_room():
                    continue
                assert self._sshd is not None
                try:
                    self._watch(connections.start(self._sshd, peer))
                except OSError as error:
                    log.error("sshd cannot be started: %s", error)

    def _has_room(self) -> bool:
        """Tell whether one more may log in. Who has been there longest without doing it makes room,
        so that those who never do keep nobody out."""
        unknown = [each for each in self._connections.values() if not each.key]
        late = time.monotonic() - LOGS_IN_SECONDS
        for each in unknown[: max(0, len(unknown) - MOST_UNKNOWN + 1)]:
            each.look()
            if not each.key and each.came_at > late:
                return False
            if not each.key:
                each.end()
        return True

    def _watch(self, connection: Connection) -> None:
        connection.look()
        self._connections[connection.process.pid] = connection
        task = asyncio.create_task(self._follow(connection))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def _follow(self, connection: Connection) -> None:
        """See with which key it comes in, and until when it stays."""
        until = time.monotonic() + sshd.LOGIN_SECONDS + 1
        ended = asyncio.create_task(connection.ended())
        try:
            while not ended.done() and not connection.key and time.monotonic() < until:
                await asyncio.wait((ended,), timeout=LOOK_SECONDS)
                connection.look()
            if connection.key:
                self._end_too_many(connection.key)
            else:
                connection.end()
            await ended
        finally:
            ended.cancel()
        self._connections.pop(connection.process.pid, None)

    def _end_too_many(self, key: str) -> None:
        """Cut off those of a key that is not known, and the last of one that has too many."""
        same = [each for each in self._connections.values() if each.key == key]
        for each in same[self._welcome.get(key, 0) :]:
            each.end()

    async def _sweep(self) -> None:
        """Keep the file of keys, and who is in, as the table says."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._notified.wait()
            self._notified.clear()
            try:
                self._write()
            except OSError as error:
                log.error("the keys of tunnels could not be written: %s", error)
                self._keys = None
            await asyncio.to_thread(self._look, fresh=True)
            for connection in list(self._connections.values()):
                if self._must_leave(connection):
                    connection.end()

    async def _watch_ports(self) -> None:
        """Note which tunnels are cut, and keep requests from whoever took the port of one."""
        before: set[listeners.Listener] = set()
        taken: list[int] = []
        while True:
            found = set(await asyncio.to_thread(listeners.on_tunnel_ports))
            if found - before:
                holders = await asyncio.to_thread(self._look, fresh=True)
                taken = [
                    port
                    for port, owner in self._owners.items()
                    if holders.get(port, owner) not in (owner, UNSEEN)
                ]
                self._withdraw([f"{authorized_keys.LOOPBACK}:{port}" for port in taken])
            before = found
            self._note_cut({each.port for each in found}.difference(taken))
            await asyncio.sleep(WATCH_SECONDS)

    def _note_cut(self, held: set[int]) -> None:
        cut = sorted(self._owners.keys() - held)
        if cut != self._cut:
            self._cut = cut
            self._on_change()

    def _write(self) -> None:
        """Write the keys where they changed. Raise OSError."""
        keys = self._table().tunnels
        if keys is self._keys or self._sshd is None:
            return
        self._owners = self._ports()
        self._welcome = {
            authorized_keys.fingerprint(key.public_key): EACH_PORT * len(key.ports) + BESIDES
            for key in keys
            if authorized_keys.may_come_in(key)
        }
        self._sshd.write_keys(authorized_keys.text(keys))
        self._keys = keys

    def _ports(self) -> dict[int, str]:
        """Return who owns each port, as the fingerprint of a key, or NOBODY yet."""
        return {
            port: authorized_keys.fingerprint(key.public_key) if key.public_key else NOBODY
            for key in self._table().tunnels
            for port in key.ports
        }

    def _must_leave(self, connection: Connection) -> bool:
        if connection.writes_too_much:
            return True
        if connection.key and connection.key not in self._welcome:
            return True
        held = [port for port, key in self._holders.items() if key == connection.key]
        return any(self._is_overdue(port, connection) for port in held)

    def _is_overdue(self, port: int, connection: Connection) -> bool:
        """Tell whether a connection listens on a port to which its key has no right any more."""
        mark = (port, connection.process.pid)
        owner = self._owners.get(port)
        if owner == connection.key:
            self._overdue.pop(mark, None)
            return False
        since = self._overdue.setdefault(mark, time.monotonic())
        # Somebody else's port is given up at once.
        return owner is not None or time.monotonic() - since >= GRACE_SECONDS

    def _look(self, *, fresh: bool = False) -> dict[int, str]:
        """Return who holds the ports of tunnels, as the fingerprint of a key, FOREIGN or UNSEEN."""
        began = time.monotonic()
        if not fresh and began < self._fresh_until:
            return self._holders
        assert self._sshd is not None
        known = {each.process.pid: each.key for each in list(self._connections.values())}
        sockets = listeners.sockets_of(known)
        unseen = UNSEEN if known and not sockets else FOREIGN
        self._holders = {
            each.port: sockets.get(each.inode, unseen) if each.uid == self._sshd.uid else FOREIGN
            for each in listeners.on_tunnel_ports()
        }
        now = time.monotonic()
        self._fresh_until = now + max(FRESH_SECONDS, FRESH_SHARE * (now - began))
        return self._holders
