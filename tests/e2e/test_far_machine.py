"""A service on a machine of a cloud, the whole way: a server that takes tunnels, an emulated cloud
whose machine boots for real and gets Docker, its agent, a replica there, first a process and then a
privileged container of a private registry's image, and callers of the server's own gateway.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from apps.agent.docker.engine import Engine
from apps.runs.control.replica_steps import TUNNEL_AWAY_FOR
from tests.e2e import docker_machines, machine_room, prepared
from tests.e2e.machine_room import Room
from tests.e2e.services import WHO
from tests.e2e.stack import Stack, eventually
from tests.fakes import aws_cloud
from tests.fakes.aws_cloud import Emulator
from tests.free_ports import free_port
from tests.integration.agent import registries
from tests.integration.agent.registries import running_registry
from tests.integration.instances import virtual_machines
from tests.integration.instances.virtual_machines import Wire

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

NORTH = "us-east-1"
# Of the first, the most goes to installing Docker.
BOOT_SECONDS, END_SECONDS = 120.0, 40.0
AWAY_SECONDS, BACK_SECONDS = 60.0, 30.0
BACKEND = {
    "kind": "aws",
    "config": {
        "creds": {
            "type": "access_key",
            "access_key": "AKIAIOSFODNN7EXAMPLE",
            "secret_key": "k" * 40,
        },
        "regions": [NORTH],
    },
    "check": False,
}
SERVICE = (WHO / "serve.dstack.yml").read_text() + "backends: [aws]\ninstance_types: [t3.large]\n"
# Nobody may mount anything in a container that is not privileged.
BOX = """\
type: service
image: {image}
registry_auth: {{username: {user}, password: {password}}}
privileged: true
commands:
  - mkdir -p /tmp/www
  - mount -t tmpfs none /tmp/www
  - echo "$DSTACK_RUN_NAME $(tail -n 2 /run-me | head -n 1)" > /tmp/www/index.html
  - exec httpd -f -p 8000 -h /tmp/www
port: 8000
backends: [aws]
instance_types: [t3.large]
"""
RUN = ("run", ".", "-f", "serve.dstack.yml", "-n", "who", "-y", "-d")


@pytest.fixture(scope="module")
def room(aws_server: Emulator) -> Iterator[Room]:
    aws_server.clear()
    with (
        virtual_machines.cloud(number=2, image=docker_machines.image()) as cloud,
        machine_room.opened(cloud, NORTH) as opened,
    ):
        yield opened
    assert opened.failures == []


def stack_of(room: Room, aws: Emulator, folder: Path, **more: str) -> Stack:
    """A server that the machines of the room can call, and that asks the emulator for them."""
    port = free_port()
    stack = Stack(
        folder / "home",
        port,
        free_port(),
        {
            **aws_cloud.KEYS,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_CONFIG_FILE": str(folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
            "DSTACK_BIND": "0.0.0.0",
            "DSTACK_AGENT_URL": f"http://{room.cloud.wire.here}:{port}",
            **more,
        },
    )
    prepared.copy_database(stack.home / "server" / "pg")
    return stack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The application as its author has it."""
    shutil.copy(WHO / "who.py", tmp_path)
    (tmp_path / "serve.dstack.yml").write_text(SERVICE)
    return tmp_path


@dataclass
class Callers:
    """Some who call without a break; `failed` has what was no answer of the service."""

    stack: Stack
    failed: list[str] = field(default_factory=list)
    answered: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)

    def call(self) -> None:
        while not self.is_over.is_set():
            try:
                answer = self.stack.call("who", **self.stack.bearer())
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
                continue
            self.answered += 1
            if answer.status_code != 200:
                self.failed.append(f"{answer.status_code} {answer.text}")

    def __enter__(self) -> Callers:
        self.threads = [threading.Thread(target=self.call) for _ in range(4)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join()


def cut(wire: Wire, seconds: float) -> None:
    """Take the machines' network away for a while."""
    for state in ("down", "up"):
        subprocess.run(["ip", "link", "set", wire.device, state], check=True)
        if state == "down":
            time.sleep(seconds)


def times_of_lines(stack: Stack) -> list[float]:
    """Call for an answer that never ends; return when its first lines came."""
    url = f"http://127.0.0.1:{stack.gateway_port}/stream"
    headers = {"Host": f"who.localhost:{stack.gateway_port}", **stack.bearer()}
    came: list[float] = []
    with httpx.stream("GET", url, headers=headers, timeout=15) as answer:
        assert answer.status_code == 200
        for _ in answer.iter_lines():
            came.append(time.monotonic())
            if len(came) == 5:
                break
    return came


def state_of(stack: Stack, name: str = "who") -> str:
    run = stack.api("GET", f"/projects/main/runs/{name}")
    assert run["state"] != "failed", run
    return str(run["state"])


def a_container_serves_there(room: Room, stack: Stack, folder: Path) -> None:
    """On the machine that is idle now, of an image that only a login gets."""
    with running_registry(private=True, network=room.cloud.wire.network) as registry:
        image = registry.push(Engine(room.cloud.engine.address), "box", "from the registry")
        text = BOX.format(image=image, user=registries.USER, password=registries.PASSWORD)
        (folder / "box.dstack.yml").write_text(text)
        stack.dstack("run", ".", "-f", "box.dstack.yml", "-n", "box", "-y", "-d", cwd=folder)
        eventually(
            lambda: state_of(stack, "box") == "running",
            seconds=BOOT_SECONDS,
            what=stack.dstack("ps", "-v"),
        )
    answer = stack.call("box", **stack.bearer())
    assert (answer.status_code, answer.text) == (200, "box echo from the registry\n")
    assert "Stopped" in stack.dstack("stop", "box", "-y")
    assert stack.call("box", **stack.bearer()).status_code == 404


def test_a_service_on_a_machine_of_a_cloud_is_called_and_stopped(
    room: Room, aws_server: Emulator, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("server")
    stack = stack_of(room, aws_server, home, DSTACK_GATEWAY_SSH_PORT=str(free_port()))
    stack.start()
    try:
        stack.api("POST", "/projects/main/backends", json=BACKEND)
        kept = ("--idle-duration", "10m")
        assert "Service is published at" in stack.dstack(*RUN, *kept, cwd=folder)

        eventually(
            lambda: state_of(stack) == "running",
            seconds=BOOT_SECONDS,
            what=stack.dstack("ps", "-v"),
        )

        answer = stack.call("who", **stack.bearer())
        assert (answer.status_code, answer.json()["DSTACK_RUN_NAME"]) == (200, "who")
        assert stack.call("who").status_code == 401

        came = times_of_lines(stack)
        assert came[-1] - came[0] > 0.5, "the answer came as a whole"

        with Callers(stack) as callers:
            eventually(lambda: callers.answered > 20)
            cut(room.cloud.wire, seconds=1.0)
            before = callers.answered
            eventually(lambda: callers.answered > before + 20)
        assert callers.failed == []

        assert "Stopped" in stack.dstack("stop", "who", "-y")
        a_container_serves_there(room, stack, folder)
        (machine,) = room.machines.values()
        eventually(lambda: not machine.is_up, seconds=END_SECONDS)
        assert stack.call("who", **stack.bearer()).status_code == 404
    finally:
        assert stack.stop() == 0


@contextmanager
def shut_out(wire: Wire, port: str) -> Iterator[None]:
    """Drop what machines say to one port, and nothing else."""
    argv = ["ip", "netns", "exec", wire.network, "iptables", "-w"]
    rule = ["OUTPUT", "-p", "tcp", "--dport", port, "-j", "DROP"]
    subprocess.run([*argv, "-I", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run([*argv, "-D", *rule], check=True)


def test_a_replica_whose_tunnel_stays_away_is_out_of_rotation_until_it_is_back(
    room: Room,
    aws_server: Emulator,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    port = str(free_port())
    home = tmp_path_factory.mktemp("away")
    stack = stack_of(room, aws_server, home, DSTACK_GATEWAY_SSH_PORT=port)
    stack.start()

    def replicas() -> list[str]:
        found = stack.api("GET", "/projects/main/runs/who")["replicas"]
        return [each["state"] for each in found]

    try:
        stack.api("POST", "/projects/main/backends", json=BACKEND)
        stack.dstack(*RUN, cwd=folder)
        eventually(lambda: state_of(stack) == "running", seconds=BOOT_SECONDS)
        began = time.monotonic()
        with shut_out(room.cloud.wire, port):
            eventually(lambda: replicas() == ["unhealthy"], seconds=AWAY_SECONDS)
            took = time.monotonic() - began
            machines = stack.api("GET", "/projects/main/instances")["items"]
            states = [each["state"] for each in machines if each["backend"] == "aws"]
            assert states == ["ready"], "its agent reports all the time"
        eventually(lambda: replicas() == ["running"], seconds=BACK_SECONDS)
        assert took > TUNNEL_AWAY_FOR.total_seconds()
        record_testsuite_property("out of rotation after, s", f"{took:.1f}")
        assert stack.call("who", **stack.bearer()).status_code == 200
        stack.dstack("stop", "who", "-y")
    finally:
        assert stack.stop() == 0


def test_without_tunnels_no_machine_is_asked_for(
    room: Room, aws_server: Emulator, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = len(aws_server.faults.made)
    stack = stack_of(room, aws_server, tmp_path_factory.mktemp("off"), DSTACK_GATEWAY_SSH_PORT="0")
    stack.start()
    try:
        stack.api("POST", "/projects/main/backends", json=BACKEND)

        said = " ".join(stack.dstack(*RUN, cwd=folder, code=1).split())

        assert "aws: gateway local takes no tunnels" in said
        assert "set DSTACK_GATEWAY_SSH_PORT" in said
        assert len(aws_server.faults.made) == made
    finally:
        assert stack.stop() == 0
