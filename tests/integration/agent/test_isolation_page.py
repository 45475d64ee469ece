"""Each line of the table of the page Isolation is tried; a line that nobody tries fails."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.agent import wire
from apps.agent.host import users
from apps.agent.isolation import cgroups
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import outsiders
from tests.integration.agent.running import ROOT, RunningAgent, workload
from tests.integration.agent.test_network import page
from tests.integration.embedded import outsider

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to become other users")

STRANGER = 60002
AS_ROOT = "process, server started as root"
AS_ORDINARY = "process, server started as an ordinary user"
MANY_BYTES = 150_000_000


def table() -> dict[str, dict[str, str]]:
    """What a service can do, by column: "yes", "no" or "only", with which each cell begins."""
    text = (ROOT / "templates" / "docs" / "isolation.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    (_, *columns), _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {row[0]: dict(zip(columns, map(_word, row[1:]), strict=True)) for row in rows}


def _word(cell: str) -> str:
    found = re.match(r"\**(yes|no|only)\b", cell)
    assert found, cell
    return found[1]


@dataclass
class World:
    """A host with a dashboard, a gateway and a service `w0`; the asker is another service of it."""

    control: ControlPlane
    agent: RunningAgent
    dashboard: int
    private: int
    gateway: int
    secret: Path
    marker: Path
    other: wire.WorkloadReport
    asked: int = 0

    def inside(self, command: str) -> bool:
        """Run it in a service and tell whether it went well."""
        self.asked += 1
        name = f"asker{self.asked}"
        self.control.assign(workload(command, id=name))
        return self.control.wait_for(name, seconds=60, state=wire.EXITED).exit_code == 0

    def gets(self, *places: tuple[str, int]) -> bool:
        """Whether a service connects to any of them."""
        connect = f"import socket\nfor place in {list(places)!r}:\n try:\n"
        connect += "  socket.create_connection(place, 2); raise SystemExit(0)\n"
        connect += " except OSError: pass\nraise SystemExit(1)"
        return self.inside(f'exec python3 -c "{connect}"')

    @property
    def service(self) -> tuple[str, int]:
        host, _, port = (self.other.address or "").rpartition(":")
        return host, int(port)


def reached_by_a_stranger(world: World) -> bool:
    connect = f"import socket; socket.create_connection({world.service!r}, timeout=1)"
    argv = ["/usr/bin/env", "python3", "-c", connect]
    return subprocess.run(argv, user=STRANGER, capture_output=True, cwd="/").returncode == 0


def fills_the_disk(world: World) -> bool:
    file = f"/var/tmp/filled-by-{os.getpid()}"
    try:
        command = f"head -c {MANY_BYTES} /dev/zero > {file} && sleep 25 && rm {file}"
        return world.inside(command)
    finally:
        Path(file).unlink(missing_ok=True)


def addresses() -> list[str]:
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout
    return [each for each in said.split() if ":" not in each]


def ports_of_the_machine(world: World) -> bool:
    everywhere = [(address, world.dashboard) for address in ["127.0.0.1", *addresses()]]
    return world.gets(*everywhere, ("127.0.0.1", world.private))


UNBOUNDED = "! grep -q dstack-agent /proc/self/cgroup"
TRIES: dict[str, Callable[[World], bool]] = {
    "reach other services without a token": lambda world: world.gets(world.service),
    "be reached past the gateway": reached_by_a_stranger,
    "reach the dashboard and other ports of the machine": ports_of_the_machine,
    "reach a cloud's metadata address": lambda world: world.gets(
        (outsiders.METADATA, outsiders.PORT)
    ),
    "reach the gateway's public ports": lambda world: world.gets(("127.0.0.1", world.gateway)),
    "reach the internet and other hosts": lambda world: world.gets(
        (outsiders.ADDRESS, outsiders.PORT)
    ),
    "read the server's files and secrets": lambda world: world.inside(f"cat '{world.secret}'"),
    "read the files of other services": lambda world: world.inside(
        f"cat '{world.agent.folder('w0')}/work/mine'"
    ),
    "see the processes of others": lambda world: world.inside(f"test -d /proc/{world.other.pid}"),
    "share `/tmp` and `/dev/shm` with others": lambda world: world.inside(
        f"test -e {world.marker} -o -e /dev/shm/{world.marker.name}"
    ),
    "start as many processes as the machine takes": lambda world: world.inside(UNBOUNDED),
    "use all memory of the machine": lambda world: world.inside(UNBOUNDED),
    "fill the disk of the machine": fills_the_disk,
}
BY_GROUPS = ("start as many processes as the machine takes", "use all memory of the machine")


def test_tries_each_line_of_the_page() -> None:
    assert set(table()) == set(TRIES)


@pytest.fixture(params=[AS_ROOT, AS_ORDINARY])
def world(
    request: pytest.FixtureRequest,
    control: ControlPlane,
    stopped_agent: RunningAgent,
    place: Path,
    marker: Path,
) -> Iterator[tuple[str, World]]:
    secret = place / "secret"
    secret.write_text("of the server")
    secret.chmod(0o600)
    if request.param == AS_ORDINARY:
        stopped_agent.argv = [*outsider.python(place), "-m", "apps.agent"]
        stopped_agent.env |= outsider.env_of(place)
        for path in (place, secret):
            outsider.give(path)
    with outsiders.outside(), page("0.0.0.0") as dashboard, page() as private, page() as gateway:
        stopped_agent.env |= {
            "DSTACK_AGENT_PUBLIC_PORTS": str(gateway),
            "DSTACK_REPLICA_DISK_GB": "0.1",
        }
        stopped_agent.start()
        serve = "echo of another > mine; exec python3 -m http.server $PORT --bind 127.0.0.1"
        control.assign(workload(serve, id="w0"))
        other = control.wait_for("w0", ready=True)
        yield (
            request.param,
            World(control, stopped_agent, dashboard, private, gateway, secret, marker, other),
        )


def test_a_service_can_do_what_the_page_says_and_no_more(world: tuple[str, World]) -> None:
    column, host = world
    said = {row: cells[column] for row, cells in table().items()}
    left_out = BY_GROUPS if cgroups.check() else ()

    found = {row: "yes" if TRIES[row](host) else "no" for row in said if row not in left_out}

    assert found == {row: word for row, word in said.items() if row not in left_out}
