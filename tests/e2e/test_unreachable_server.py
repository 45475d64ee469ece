"""A server that nobody can call, on loopback alone: it makes a gateway on a machine, another one
calls it through that, and a service answers there; also while the server cannot be reached.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from apps.instances.boot.relay import SSH_PORT
from tests.e2e import gateway_machines, machine_room
from tests.e2e.machine_room import Room
from tests.e2e.services import WHO
from tests.e2e.stack import Stack, eventually
from tests.e2e.test_far_machine import BACKEND, NORTH, RUN, SERVICE, stack_of
from tests.fakes.aws_cloud import Emulator
from tests.integration.instances import virtual_machines

pytestmark = pytest.mark.timeout(480)

DOMAIN = "edge.test"
MADE_SECONDS, SERVED_SECONDS, AWAY_SECONDS, BACK_SECONDS = 150.0, 120.0, 60.0, 60.0


@pytest.fixture(scope="module")
def room(aws_server: Emulator) -> Iterator[Room]:
    aws_server.clear()
    with (
        virtual_machines.cloud(number=8, image=gateway_machines.image()) as cloud,
        machine_room.opened(cloud, NORTH) as opened,
    ):
        yield opened
    assert opened.failures == []


@pytest.fixture
def stack(
    room: Room,
    aws_server: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    # An address that the emulator invents leads nowhere: all machines are at the wire's other end.
    there = room.cloud.wire.there
    monkeypatch.setattr("moto.ec2.models.elastic_ip_addresses.random_ip", lambda: there)
    made = stack_of(
        room,
        aws_server,
        tmp_path_factory.mktemp("server"),
        DSTACK_BIND="127.0.0.1",
        DSTACK_AGENT_URL="",
    )
    made.start()
    try:
        yield made
    finally:
        assert made.stop() == 0


def is_serving(stack: Stack) -> bool:
    now = stack.api("GET", "/projects/main/gateways/edge")
    assert now["state"] != "failed", now
    return bool(now["state"] == "running")


def status(stack: Stack, there: str) -> int:
    """Call the service at its gateway; 0 where nobody answers there."""
    headers = {"Host": f"who.{DOMAIN}", **stack.bearer()}
    try:
        return httpx.get(f"http://{there}/", headers=headers, timeout=10).status_code
    except httpx.HTTPError:
        return 0


def cut(there: str, *, how: str = "-I") -> None:
    """Drop, or pass again, what the server and the gateway's machine say to each other."""
    for chain, end, port in (("OUTPUT", "-d", "--dport"), ("INPUT", "-s", "--sport")):
        rule = [end, there, "-p", "tcp", port, str(SSH_PORT), "-j", "DROP"]
        subprocess.run(["iptables", "-w", how, chain, *rule], check=True, timeout=30)


def last_report(stack: Stack) -> str:
    return str(stack.api("GET", "/projects/main/gateways/edge")["reported_at"])


def test_machines_work_for_it_all_the_same(room: Room, stack: Stack, tmp_path: Path) -> None:
    wire = room.cloud.wire
    shutil.copy(WHO / "who.py", tmp_path)
    (tmp_path / "serve.dstack.yml").write_text(SERVICE + "https: false\n")
    stack.api("POST", "/projects/main/backends", json=BACKEND)
    place = ("--domain", DOMAIN, "--backend", "aws", "--region", NORTH)
    stack.dstack("gateway", "create", *place, "--name", "edge", "--default", "-d")
    eventually(lambda: is_serving(stack), seconds=MADE_SECONDS, every=1.0)

    stack.dstack(*RUN, cwd=tmp_path)
    eventually(lambda: status(stack, wire.there) == 200, seconds=SERVED_SECONDS, every=0.5)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{wire.there}:19999/api/agent/agent.pyz", timeout=3)

    cut(wire.there)
    answers = []
    try:
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            answers.append(status(stack, wire.there))
            time.sleep(0.2)
    finally:
        cut(wire.there, how="-D")
    assert set(answers) == {200}

    before = last_report(stack)
    eventually(lambda: last_report(stack) != before, seconds=BACK_SECONDS, every=0.5)
    assert status(stack, wire.there) == 200
    stack.dstack("stop", "who", "-y")
