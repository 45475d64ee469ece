"""A service on a machine of Google Cloud, the whole way: its zone is full, the next one has room,
the machine boots for real what the fake was given, answers, dies, is replaced, and is stopped.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e import gcp_room, prepared
from tests.e2e.gcp_room import GoogleRoom
from tests.e2e.services import WHO
from tests.e2e.stack import Stack, eventually
from tests.fakes.gcp_keys import CONFIG
from tests.fakes.gcp_world import World
from tests.free_ports import free_port
from tests.integration.instances import virtual_machines

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

NORTH, KIND = "us-central1", "e2-standard-2"
BOOT_SECONDS, END_SECONDS = 90.0, 60.0
BACKEND = {"kind": "gcp", "config": {**CONFIG, "regions": [NORTH]}, "check": False}
SERVICE = (WHO / "serve.dstack.yml").read_text() + f"backends: [gcp]\ninstance_types: [{KIND}]\n"
SERVICE += "retry: {on_events: [interruption, error], duration: 1h}\n"


@pytest.fixture(scope="module")
def room(gcp_server: World) -> Iterator[GoogleRoom]:
    gcp_server.clear()
    with (
        virtual_machines.cloud(number=5) as cloud,
        gcp_room.opened(cloud, gcp_server) as opened,
    ):
        yield opened
    assert opened.failures == []


@pytest.fixture
def stack(
    room: GoogleRoom, gcp_server: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    running = Stack(
        folder / "home",
        port,
        free_port(),
        {
            "DSTACK_GCP_ENDPOINT": gcp_server.url,
            "DSTACK_BIND": "0.0.0.0",
            "DSTACK_AGENT_URL": f"http://{room.cloud.wire.here}:{port}",
            "DSTACK_GATEWAY_SSH_PORT": str(free_port()),
        },
    )
    prepared.copy_database(running.home / "server" / "pg")
    running.start()
    yield running
    assert running.stop() == 0


def is_running(stack: Stack) -> bool:
    run = stack.api("GET", "/projects/main/runs/who")
    assert run["state"] != "failed", run
    return bool(run["state"] == "running")


def answers(stack: Stack) -> bool:
    """Requests are held while nothing serves, and may be cut with the machine that dies."""
    with contextlib.suppress(httpx.HTTPError):
        return stack.call("who", **stack.bearer()).status_code == 200
    return False


def test_a_service_on_a_machine_of_google_from_a_full_zone_to_its_end(
    room: GoogleRoom, stack: Stack, gcp_server: World, tmp_path: Path
) -> None:
    shutil.copy(WHO / "who.py", tmp_path)
    (tmp_path / "serve.dstack.yml").write_text(SERVICE)
    gcp_server.faults.full = {(KIND, f"{NORTH}-a")}
    stack.api("POST", "/projects/main/backends", json=BACKEND)

    words = ("run", ".", "-f", "serve.dstack.yml", "-n", "who", "-y", "-d")
    assert "Service is published at" in stack.dstack(*words, cwd=tmp_path)
    eventually(lambda: is_running(stack), seconds=BOOT_SECONDS)

    [made] = gcp_server.faults.made
    assert made["zone"] != f"{NORTH}-a"
    answer = stack.call("who", **stack.bearer())
    assert (answer.status_code, answer.json()["DSTACK_RUN_NAME"]) == (200, "who")
    assert stack.call("who").status_code == 401

    [first] = room.machines
    room.cloud.docker("kill", first)
    gcp_server.vanish(first)
    eventually(lambda: len(room.machines) == 2, seconds=BOOT_SECONDS)
    eventually(lambda: answers(stack), seconds=BOOT_SECONDS)

    assert "Stopped" in stack.dstack("stop", "who", "-y")
    eventually(lambda: gcp_server.instances == {}, seconds=END_SECONDS)
    [second] = [machine for name, machine in room.machines.items() if name != first]
    eventually(lambda: not second.is_up, seconds=END_SECONDS)
    assert stack.call("who", **stack.bearer()).status_code == 404
