"""HAProxy's runtime socket.

A line of it is a command with full power, and `;` or a newline begins another. So every word that
is not written in this package goes through `line` (or `entry_lines`, the same check), and nothing
else writes to the socket.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy.config import HOLD_NAME, HOLD_ROOM, SERVER_OPTIONS, map_file
from gateway.state.desired_state import MAPS, Map
from gateway.state.diff import (
    ActualState,
    AddEntry,
    AddServer,
    Change,
    DrainServer,
    DropEntry,
    EnableServer,
    LimitServer,
    SeenServer,
    ServerState,
    SetEntry,
    WriteMap,
)
from gateway.state.slots import Server

SAFE_WORD = re.compile(r"[A-Za-z0-9._:/-]+")
SLOT = re.compile(r"s[0-9]+")
ANSWER_SECONDS = 5.0
# HAProxy reads a command and its payload into one buffer, of 16 KiB where that is not set.
MOST_LINE_BYTES = 12_000
# Bits of srv_admin_state: forced or inherited maintenance, then forced or inherited drain.
MAINTENANCE_BITS = 0x01 | 0x02 | 0x20
DRAIN_BITS = 0x08 | 0x10


def line(command: str, *words: str | int) -> str:
    """Fill the `{}` of `command`, our own text, with words from outside.

    Raise RuntimeRefused when a word holds anything but letters, digits and `._:/-`.
    """
    for word in words:
        if not SAFE_WORD.fullmatch(str(word)):
            raise RuntimeRefused(f"{str(word)[:80]!r} may not enter a command of HAProxy")
    return command.format(*words)


@dataclass(frozen=True)
class Command:
    """One command, made by `line`, and what HAProxy says when it has done it."""

    text: str
    says: str = ""

    @property
    def answer(self) -> str:
        return f"{self.says}\n\n" if self.says else "\n"


class Runtime:
    """The runtime socket at `path`; each line has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def ask(self, command: str) -> str:
        """Send a command made by `line` and return the answer.

        Raise HaproxyFailed when HAProxy does not answer within 5 s.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write(command.encode("ascii") + b"\n")
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            raise HaproxyFailed(f"HAProxy does not answer on its socket: {reason}") from None
        return answer.decode(errors="replace").strip()

    async def is_ready(self, *, pid: int | None = None) -> bool:
        """Tell whether HAProxy answers, and the one of this process if that is given."""
        try:
            if pid is not None:
                return f"Pid: {pid}" in (await self.ask("show info")).splitlines()
            return bool(await self.ask("show version"))
        except HaproxyFailed:
            return False

    async def do(self, *commands: Command) -> None:
        """Send commands, many in one line, each of which must answer as told.

        Raise RuntimeRefused when one did not; the others were done all the same.
        """
        for batch in batches(commands):
            answer = await self.ask(";".join(each.text for each in batch))
            expected = "".join(each.answer for each in batch).strip()
            if answer != expected:
                raise RuntimeRefused(f"HAProxy refused a command: {surprise(answer)}")

    async def apply(self, steps: Iterable[Change]) -> None:
        """Take steps in their order; raises HaproxyFailed, RuntimeRefused."""
        commands: list[Command] = []
        for step in steps:
            if isinstance(step, WriteMap):
                await self.do(*commands)
                commands.clear()
                await self.write_map(map_file(step.map), step.entries)
            else:
                commands.extend(commands_of(step))
        await self.do(*commands)

    async def write_map(self, file: str, entries: Map) -> None:
        answer = await self.ask(line("prepare map {}", file))
        version = answer.removeprefix("New version created: ")
        if not version.isdigit():
            raise RuntimeRefused(f"HAProxy did not prepare {file}: {answer[:200]}")
        for payload in entry_lines(entries):
            await self.do(Command(line("add map @{} {} <<\n", version, file) + payload))
        await self.do(Command(line("commit map @{} {}", version, file)))

    async def in_flight(self, slot: int) -> dict[str, int]:
        """Count the requests on each server of a slot, queued ones too."""
        servers = await self._stat(slot)
        return {each["svname"]: int(each["scur"]) + int(each["qcur"]) for each in servers}

    async def in_flight_on(self, slots: Iterable[int]) -> dict[str, int]:
        """Count the same for several slots, by the servers' names, which are
        never used twice."""
        commands = (Command(line("show stat {} 4 -1", f"s{slot}")) for slot in slots)
        found: dict[str, int] = {}
        for batch in batches(commands):
            for each in servers_in(await self.ask(";".join(each.text for each in batch))):
                found[each["svname"]] = int(each["scur"]) + int(each["qcur"])
        return found

    async def usable(self, slot: int) -> int:
        """Count the replicas of a slot that take requests now."""
        return sum(each["status"].startswith(("UP", "no check")) for each in await self._stat(slot))

    async def slots_to_requeue(self, slots: Iterable[int]) -> list[int]:
        """Find the slots in which requests are queued and no replica is up."""
        commands = (Command(line("show stat {} 2 -1", f"s{slot}")) for slot in slots)
        found: list[int] = []
        for batch in batches(commands):
            for row in rows_in(await self.ask(";".join(each.text for each in batch))):
                if int(row["qcur"]) > 0 and int(row["act"]) == 0:
                    found.append(int(row["pxname"].removeprefix("s")))
        return found

    async def requeue(self, slot: int) -> None:
        """Let HAProxy send what is queued in a slot to the hold, if only the
        hold is up."""
        name = f"s{slot}/{HOLD_NAME}"
        await self.do(Command(line("set maxconn server {} {}", name, 2 * HOLD_ROOM)))

    async def _stat(self, slot: int) -> list[dict[str, str]]:
        return servers_in(await self.ask(line("show stat {} 4 -1", f"s{slot}")))

    async def remove(self, *, name: str, slot: int) -> bool:
        """Delete a server; False while connections to it still live."""
        server = f"s{slot}/{name}"
        await self.ask(line("set server {} state maint", server))
        answer = await self.ask(line("del server {}", server))
        return answer in {"Server deleted.", "No such server."}

    async def read_actual_state(self) -> ActualState:
        """Read what HAProxy holds now: maps and servers."""
        maps = {name: await self.read_map(name) for name in MAPS}
        rows = [row.split() for row in (await self.ask("show servers state")).splitlines()[2:]]
        ours = [row for row in rows if row and SLOT.fullmatch(row[1]) and row[3] != HOLD_NAME]
        return ActualState(maps=maps, servers=dict(seen_server(row) for row in ours))

    async def read_map(self, name: str) -> Map:
        rows = (await self.ask(line("show map {}", map_file(name)))).splitlines()
        entries: Map = {}
        for row in rows:
            _, key, value = row.split(" ", 2)
            entries.setdefault(key, value)
        return entries


def servers_in(answer: str) -> list[dict[str, str]]:
    """Read what `show stat` says of replicas' servers, once or several times."""
    return [each for each in rows_in(answer) if each["svname"] != HOLD_NAME]


def rows_in(answer: str) -> list[dict[str, str]]:
    rows = [row for row in answer.splitlines() if row]
    fields = rows[0].removeprefix("# ").split(",") if rows else []
    named = [row for row in rows if not row.startswith("#")]
    return [dict(zip(fields, row.split(","), strict=False)) for row in named]


def commands_of(step: Change) -> list[Command]:
    """Write a step as commands; a whole map is no single command."""
    match step:
        case AddEntry(name, key, value):
            return [Command(line("add map {} {} {}", map_file(name), key, value))]
        case SetEntry(name, key, value):
            # One step, so that no request finds the key missing in between.
            return [Command(line("set map {} {} {}", map_file(name), key, value))]
        case DropEntry(name, key):
            return [Command(line("del map {} {}", map_file(name), key))]
        case WriteMap():
            raise TypeError("a whole map is written by write_map")
        case _:
            return server_commands(step)


def server_commands(step: AddServer | EnableServer | DrainServer | LimitServer) -> list[Command]:
    match step:
        case AddServer(server):
            return [adding(server), *enabling(f"s{server.slot}/{server.name}")]
        case EnableServer(name, slot):
            return enabling(f"s{slot}/{name}")
        case LimitServer(name, slot, limit):
            return [Command(line("set maxconn server {} {}", f"s{slot}/{name}", limit))]
        case DrainServer(name, slot):
            return [Command(line("set server {} state drain", f"s{slot}/{name}"))]


def adding(server: Server) -> Command:
    limit = line(" maxconn {}", server.limit) if server.limit else ""
    where = line("{} {}", f"s{server.slot}/{server.name}", server.address)
    return Command(f"add server {where} {SERVER_OPTIONS}{limit}", "New server registered.")


def enabling(name: str) -> list[Command]:
    return [
        Command(line("enable health {}", name)),
        Command(line("set server {} state ready", name)),
    ]


def batches(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """Group commands into lines that fit HAProxy's buffer."""
    batch: list[Command] = []
    size = 0
    for command in commands:
        if batch and size + len(command.text) > MOST_LINE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(command)
        size += len(command.text) + 1
    if batch:
        yield batch


def surprise(answer: str) -> str:
    """Find in the answer to several commands what was not to be there."""
    said = (row for row in answer.splitlines() if row and row != "New server registered.")
    return next(said, "no answer")[:200]


def entry_lines(entries: Map) -> Iterator[str]:
    """Write entries as payloads that fit HAProxy's buffer."""
    lines: list[str] = []
    size = 0
    for key, value in entries.items():
        text = line("{} {}\n", key, value)
        if size + len(text) > MOST_LINE_BYTES:
            yield "".join(lines)
            lines, size = [], 0
        lines.append(text)
        size += len(text)
    if lines:
        yield "".join(lines)


def seen_server(fields: list[str]) -> tuple[str, SeenServer]:
    slot, name, admin = fields[1], fields[3], int(fields[6])
    state: ServerState = "ready"
    if admin & MAINTENANCE_BITS:
        state = "maint"
    elif admin & DRAIN_BITS:
        state = "drain"
    return name, SeenServer(slot=int(slot.removeprefix("s")), state=state, limit=None)
