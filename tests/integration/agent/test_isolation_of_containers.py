"""Each line of the column for containers of the page Isolation is tried on a real engine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker.engine import Engine
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import engine_hosts, running
from tests.integration.agent.engine_hosts import ADDRESS, BEYOND, METADATA, EngineOfAHost
from tests.integration.agent.engines import IMAGE, make_image
from tests.integration.agent.running import RunningAgent
from tests.integration.agent.test_isolation_page import MANY_BYTES, table
from tests.integration.agent.test_network import page

pytestmark = engine_hosts.needs_engine

HOST = "dstack-engine"
COLUMN = "container (`image`)"
# Of the other service: what a stranger would find of it.
MINE, WORD = "/tmp/of-another", "word-of-another"
SERVE = f"echo {WORD} > {MINE} && httpd -f -p $PORT -h /www"
MIB = 1024 * 1024


@dataclass
class World:
    """A host with a dashboard, gateways and the service `w0`; the askers are of other runs."""

    control: ControlPlane
    engine: Engine
    dashboard: int
    private: int
    secret: Path
    marker: Path
    other: wire.WorkloadReport
    asked: int = 0

    def inside(self, command: str, **fields: Any) -> bool:
        """Run it in a container and tell whether it went well."""
        self.asked += 1
        name = f"asker{self.asked}"
        self.control.assign(workload(command, id=name, run_id=name, **fields))
        return self.control.wait_for(name, seconds=60, state=wire.EXITED).exit_code == 0

    def gets(self, *places: tuple[str, int]) -> bool:
        """Whether a container gets an answer from any of them."""
        ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {} {} | grep -q ^HTTP/"
        return self.inside(" || ".join(ask.format(*place) for place in places))

    @property
    def port(self) -> int:
        return int((self.other.address or "").rpartition(":")[2])

    @property
    def own_address(self) -> str:
        """The service's address in its network."""
        about = self.engine.call("GET", "/containers/dstack-w0/json")
        (network,) = about["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    @property
    def service(self) -> list[tuple[str, int]]:
        return [(self.own_address, 8000), ("127.0.0.1", self.port), (ADDRESS, self.port)]


def workload(*commands: str, **fields: Any) -> wire.WorkloadSpec:
    return running.workload(*commands, **{"executor": "docker", "image": IMAGE, **fields})


def some_or_all(found: list[bool]) -> str:
    return {(True, True): "yes", (False, False): "no"}.get((found[0], found[1]), "only")


def yes(found: bool) -> str:
    return "yes" if found else "no"


def connects_from_beyond(host: str, port: int) -> bool:
    connect = f"import socket; socket.create_connection({(host, port)!r}, timeout=2)"
    argv = [*engine_hosts.within(engine_hosts.beyond(HOST)), sys.executable, "-c", connect]
    return subprocess.run(argv, capture_output=True).returncode == 0


def reached_past_the_gateway(world: World) -> str:
    """By a program of the machine, and by another host."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=2):
        from_here = True
    from_there = connects_from_beyond(ADDRESS, world.port)
    return some_or_all([from_here, from_there])


def ports_of_the_machine(world: World) -> str:
    """Those that listen on every address, and those that do not."""
    private = [(ADDRESS, world.private), ("127.0.0.1", world.private)]
    return some_or_all([world.gets((ADDRESS, world.dashboard)), world.gets(*private)])


# What a control group of either version says, as seen from inside.
PROCESSES = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null"
MEMORY = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
UNBOUNDED_MEMORY = f"{MEMORY} | grep -qxE 'max|9223372036854771712'"
TRIES: dict[str, Callable[[World], str]] = {
    "reach other services without a token": lambda world: yes(world.gets(*world.service)),
    "be reached past the gateway": reached_past_the_gateway,
    "reach the dashboard and other ports of the machine": ports_of_the_machine,
    "reach a cloud's metadata address": lambda world: yes(
        world.gets((METADATA, engine_hosts.PORT))
    ),
    # It is a port of the machine as the others are.
    "reach the gateway's public ports": ports_of_the_machine,
    "reach the internet and other hosts": lambda world: yes(
        world.gets((BEYOND, engine_hosts.PORT))
    ),
    "read the server's files and secrets": lambda world: yes(world.inside(f"cat '{world.secret}'")),
    "read the files of other services": lambda world: yes(world.inside(f"cat {MINE}")),
    "see the processes of others": lambda world: yes(
        world.inside(f"grep -q '[{WORD[0]}]{WORD[1:]}' /proc/[0-9]*/cmdline")
    ),
    "share `/tmp` and `/dev/shm` with others": lambda world: yes(
        world.inside(f"test -e {world.marker} -o -e /dev/shm/{world.marker.name}")
    ),
    "start as many processes as the machine takes": lambda world: yes(
        world.inside(f"! {PROCESSES} | grep -qxE '[0-9]+'")
    ),
    "use all memory of the machine": lambda world: yes(world.inside(UNBOUNDED_MEMORY)),
    "fill the disk of the machine": lambda world: yes(
        world.inside(f"head -c {MANY_BYTES} /dev/zero > /filled && sleep 25")
    ),
}


def test_tries_each_line_of_the_page() -> None:
    assert set(table()) == set(TRIES)


@pytest.fixture
def engine() -> Iterator[EngineOfAHost]:
    """An engine as one installs it, on a host of its own, which this thread is at meanwhile."""
    with engine_hosts.host_with_engine(HOST) as engine, engine_hosts.entered(HOST):
        engine.start()
        make_image(engine.address, IMAGE, files={"www/index.html": "hi"})
        yield engine


@pytest.fixture
def world(
    engine: EngineOfAHost, control: ControlPlane, stopped_agent: RunningAgent, marker: Path
) -> Iterator[World]:
    secret = stopped_agent.home.with_name("secret")
    secret.write_text("of the server")
    with page("0.0.0.0") as dashboard, page() as private:
        stopped_agent.env |= {"DOCKER_HOST": engine.address, "DSTACK_REPLICA_DISK_GB": "0.1"}
        stopped_agent.start()
        control.assign(workload(SERVE, id="w0", run_id="run-0", container_port=8000))
        other = control.wait_for("w0", ready=True, seconds=60)
        yield World(control, Engine(engine.address), dashboard, private, secret, marker, other)
        stopped_agent.clean_up()


def test_a_container_can_do_what_the_page_says_and_no_more(world: World) -> None:
    said = {row: cells[COLUMN] for row, cells in table().items()}

    assert {row: TRIES[row](world) for row in said} == said


def test_a_host_of_the_network_may_route_to_a_container_where_the_page_says_so(
    world: World,
) -> None:
    beyond = engine_hosts.within(engine_hosts.beyond(HOST))
    way = f"ip route add {world.own_address}/32 via {ADDRESS}"
    subprocess.run([*beyond, *way.split()], check=True)

    version = str(world.engine.call("GET", "/version")["Version"])
    assert connects_from_beyond(world.own_address, 8000) == (int(version.partition(".")[0]) < 28)


def test_a_file_that_says_how_much_memory_bounds_a_container(world: World) -> None:
    assert not world.inside(UNBOUNDED_MEMORY, memory_limit_mib=64)
