"""A server that nobody can call, on loopback alone: it makes a gateway on a machine, another one
calls it through that, and a service answers there, also while the server cannot be reached. What is
held meanwhile is answered once it is back, by a replica that scaling makes then.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
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

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

DOMAIN = "edge.test"
MADE_SECONDS, SERVED_SECONDS, AWAY_SECONDS = 150.0, 120.0, 60.0
# Counted from the moment when the link is back: until the gateway reports, until the replica is
# wanted for which a request waits, and until that has its answer, from a machine that boots for it.
REPORTED_SECONDS, SCALED_SECONDS, WOKEN_SECONDS = 15.0, 20.0, 120.0
ASLEEP = "replicas: 0..1\nscaling: {metric: rps, target: 10}\n"


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


def status(stack: Stack, there: str, name: str = "who", *, seconds: float = 10) -> int:
    """Call a service at its gateway; 0 where nobody answers there."""
    headers = {"Host": f"{name}.{DOMAIN}", **stack.bearer()}
    try:
        return httpx.get(f"http://{there}/", headers=headers, timeout=seconds).status_code
    except httpx.HTTPError:
        return 0


def is_published(there: str, name: str) -> bool:
    answer = httpx.get(f"http://{there}/", headers={"Host": f"{name}.{DOMAIN}"}, timeout=10)
    return answer.status_code == 401


class Held(threading.Thread):
    """Somebody who calls the service that sleeps, and waits; `status` is what came of it."""

    def __init__(self, stack: Stack, there: str) -> None:
        super().__init__(daemon=True)
        self._stack, self._there = stack, there
        self.status = -1

    def run(self) -> None:
        patience = AWAY_SECONDS + WOKEN_SECONDS
        self.status = status(self._stack, self._there, "asleep", seconds=patience)


def took(holds: Callable[[], object], *, since: float, within: float) -> str:
    """Wait until something holds; return after how many seconds it did."""
    eventually(holds, seconds=since + within - time.monotonic(), every=0.25)
    return f"{time.monotonic() - since:.1f}"


def replicas_wanted(stack: Stack) -> int:
    return int(stack.api("GET", "/projects/main/runs/asleep")["replicas_wanted"])


def cut(there: str, *, how: str = "-I") -> None:
    """Drop, or pass again, what the server and the gateway's machine say to each other."""
    for chain, end, port in (("OUTPUT", "-d", "--dport"), ("INPUT", "-s", "--sport")):
        rule = [end, there, "-p", "tcp", port, str(SSH_PORT), "-j", "DROP"]
        subprocess.run(["iptables", "-w", how, chain, *rule], check=True, timeout=30)


def last_report(stack: Stack) -> str:
    return str(stack.api("GET", "/projects/main/gateways/edge")["reported_at"])


def test_machines_work_for_it_all_the_same(
    room: Room,
    stack: Stack,
    tmp_path: Path,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    wire = room.cloud.wire
    shutil.copy(WHO / "who.py", tmp_path)
    (tmp_path / "serve.dstack.yml").write_text(SERVICE + "https: false\n")
    stack.api("POST", "/projects/main/backends", json=BACKEND)
    place = ("--domain", DOMAIN, "--backend", "aws", "--region", NORTH)
    stack.dstack("gateway", "create", *place, "--name", "edge", "-d")
    eventually(lambda: is_serving(stack), seconds=MADE_SECONDS, every=1.0)

    stack.dstack(*RUN, cwd=tmp_path)
    eventually(lambda: status(stack, wire.there) == 200, seconds=SERVED_SECONDS, every=0.5)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{wire.there}:19999/api/agent/agent.pyz", timeout=3)

    (tmp_path / "asleep.dstack.yml").write_text(SERVICE + ASLEEP + "https: false\n")
    stack.dstack("run", ".", "-f", "asleep.dstack.yml", "-n", "asleep", "-y", "-d", cwd=tmp_path)
    eventually(lambda: is_published(wire.there, "asleep"), seconds=REPORTED_SECONDS)

    cut(wire.there)
    answers, held = [], Held(stack, wire.there)
    try:
        until = time.monotonic() + AWAY_SECONDS
        held.start()
        while time.monotonic() < until:
            answers.append(status(stack, wire.there))
            time.sleep(0.2)
        before = last_report(stack)
        assert (held.status, replicas_wanted(stack)) == (-1, 0)
    finally:
        cut(wire.there, how="-D")
    mended = time.monotonic()
    assert set(answers) == {200}

    back = {
        "reported": (lambda: last_report(stack) != before, REPORTED_SECONDS),
        "scaled": (lambda: replicas_wanted(stack) == 1, SCALED_SECONDS),
        "answered": (lambda: held.status != -1, WOKEN_SECONDS),
    }
    for what, (holds, within) in back.items():
        record_testsuite_property(f"{what} after s", took(holds, since=mended, within=within))
    assert held.status == 200
    assert status(stack, wire.there) == 200
    for name in ("who", "asleep"):
        stack.dstack("stop", name, "-y")
