"""A gateway on a machine of a cloud, the whole way: the command, an emulated cloud whose machines
boot for real, the gateway that the agent installs there, a certificate by ACME, a service on
another machine behind it, its loss and its end.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import gateway_machines, machine_room
from tests.e2e.machine_room import Room
from tests.e2e.services import WHO
from tests.e2e.stack import Stack, eventually
from tests.e2e.test_far_machine import BACKEND, NORTH, RUN, SERVICE, stack_of
from tests.fakes.aws_cloud import Emulator
from tests.integration.gateway import authorities
from tests.integration.gateway.authorities import Pebble
from tests.integration.instances import virtual_machines

pytestmark = [pytest.mark.long, pytest.mark.timeout(480)]

DOMAIN = "edge.test"
MADE_SECONDS, SERVED_SECONDS, REPLACED_SECONDS, ENDED_SECONDS = 120.0, 90.0, 240.0, 60.0


@pytest.fixture(scope="module")
def room(aws_server: Emulator) -> Iterator[Room]:
    aws_server.clear()
    with (
        virtual_machines.cloud(number=7, image=gateway_machines.image()) as cloud,
        machine_room.opened(cloud, NORTH) as opened,
    ):
        yield opened
    assert opened.failures == []


@pytest.fixture
def pebble(room: Room, tmp_path: Path) -> Iterator[Pebble]:
    wire = room.cloud.wire
    with asyncio.Runner() as runner:
        made = authorities.pebble(
            tmp_path / "pebble", http_port=80, host=wire.here, names_at=wire.there
        )
        yield runner.run(made.__aenter__())
        runner.run(made.__aexit__(None, None, None))


@pytest.fixture
def stack(
    room: Room,
    aws_server: Emulator,
    pebble: Pebble,
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
        DSTACK_GATEWAY_SSH_PORT="0",
        DSTACK_GATEWAY_ACME_URL=pebble.url,
        DSTACK_GATEWAY_ACME_CA=str(pebble.ca_file),
    )
    made.start()
    try:
        yield made
    finally:
        assert made.stop() == 0


def gateway(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.api("GET", "/projects/main/gateways/edge")
    return found


def is_serving(stack: Stack) -> bool:
    now = gateway(stack)
    assert now["state"] != "failed", now
    return bool(now["state"] == "running")


def call(stack: Stack, there: str, scheme: str = "https") -> httpx.Response | None:
    """Call the service at the address of the gateway; None where nobody answers there."""
    headers = {"Host": f"who.{DOMAIN}", **stack.bearer()}
    extensions = {"sni_hostname": f"who.{DOMAIN}"}
    try:
        with httpx.Client(verify=False, timeout=5) as client:
            return client.get(f"{scheme}://{there}/", headers=headers, extensions=extensions)
    except httpx.HTTPError:
        return None


def answers(stack: Stack, there: str) -> bool:
    said = call(stack, there)
    return said is not None and said.status_code == 200


def a_newer_server_upgrades_it(stack: Stack, there: str, folder: Path) -> None:
    """No caller notices, neither while the server is away nor while the gateway changes."""
    before = gateway(stack)["version"]
    failures: list[str] = []
    with calling(stack, there, failures):
        assert stack.stop() == 0
        stack.more = {**stack.more, "PYTHONPATH": gateway_machines.newer(folder)}
        stack.start()
        # It may have begun by itself.
        assert "has this server's version" in stack.dstack("gateway", "upgrade", "edge")
        eventually(
            lambda: "runs with other settings" in stack.dstack("gateway", "logs", "edge"),
            seconds=SERVED_SECONDS,
            every=1.0,
        )
        eventually(lambda: answers(stack, there), seconds=SERVED_SECONDS, every=0.5)
    assert failures == []
    now = gateway(stack)
    assert now["is_current"] and now["version"] != before


@contextmanager
def calling(stack: Stack, there: str, failures: list[str]) -> Iterator[None]:
    """Call the service all the time, from connections of their own."""
    stopping = threading.Event()

    def call_on() -> None:
        while not stopping.wait(0.05):
            said = call(stack, there)
            if said is None or said.status_code != 200:
                failures.append("nothing" if said is None else said.text)

    threads = [threading.Thread(target=call_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def test_a_gateway_is_made_serves_is_replaced_and_goes(
    room: Room, stack: Stack, tmp_path: Path
) -> None:
    there = room.cloud.wire.there
    shutil.copy(WHO / "who.py", tmp_path)
    (tmp_path / "serve.dstack.yml").write_text(SERVICE)
    stack.api("POST", "/projects/main/backends", json=BACKEND)
    place = ("--domain", DOMAIN, "--backend", "aws", "--region", NORTH)
    stack.dstack("gateway", "create", *place, "--name", "edge", "-d")
    eventually(lambda: is_serving(stack), seconds=MADE_SECONDS, every=1.0)
    listed = stack.dstack("gateway", "list")
    assert there in listed and DOMAIN in listed
    (first,) = room.machines.values()

    assert f"https://who.{DOMAIN}" in stack.dstack(*RUN, cwd=tmp_path)
    eventually(lambda: answers(stack, there), seconds=SERVED_SECONDS, every=0.5)
    hosts = stack.api("GET", "/projects/main/gateways/edge/certificates")["hosts"]
    assert {each["state"] for each in hosts if each["host"] == f"who.{DOMAIN}"} == {"valid"}
    plain = call(stack, there, scheme="http")
    assert plain is not None and plain.status_code == 308

    a_newer_server_upgrades_it(stack, there, tmp_path / "newer")

    first.cloud.docker("kill", first.name)
    eventually(lambda: not is_serving(stack), seconds=REPLACED_SECONDS, every=1.0)
    eventually(lambda: is_serving(stack), seconds=REPLACED_SECONDS, every=1.0)
    eventually(lambda: answers(stack, there), seconds=SERVED_SECONDS, every=0.5)
    assert gateway(stack)["address"] == there

    stack.dstack("stop", "who", "-y")
    assert "is deleted" in stack.dstack("gateway", "delete", "edge", "-y")
    eventually(
        lambda: not any(machine.is_up for machine in room.machines.values()), seconds=ENDED_SECONDS
    )
    names = [each["name"] for each in stack.api("GET", "/projects/main/gateways")["items"]]
    assert "edge" not in names
