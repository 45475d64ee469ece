"""compose.yaml and the image's file fit the code that they start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from dstack_web.embedded.servers import valkey
from tests.integration.agent.running import eventually

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()


def test_make_env_writes_all_that_compose_asks_for(tmp_path: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    env = tmp_path / ".env"

    subprocess.run(
        [sys.executable, "-m", "dstack_web.embedded.compose_env", str(env)],
        cwd=ROOT,
        check=True,
        timeout=30,
    )

    written = dict(line.split("=", 1) for line in env.read_text().splitlines())
    # An .env of a version before lacks the last one: then nobody scrapes figures.
    assert asked | {"DSTACK_METRICS_TOKEN"} == set(written)
    assert all(len(value) >= 16 for value in written.values())
    assert env.stat().st_mode & 0o777 == 0o600


def test_make_env_never_replaces_secrets(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("DSTACK_SECRET_KEY=kept\n")

    done = subprocess.run(
        [sys.executable, "-m", "dstack_web.embedded.compose_env", str(env)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 1
    assert "remove it to make new secrets" in done.stderr
    assert env.read_text() == "DSTACK_SECRET_KEY=kept\n"


def test_compose_builds_targets_that_exist() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    targets = set(re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.M))

    wanted = {service["build"]["target"] for service in services.values() if "build" in service}

    assert wanted == {"server", "gateway"}
    assert wanted | {"base"} <= targets


def test_compose_has_every_component() -> None:
    services = set(yaml.safe_load(COMPOSE)["services"])

    assert services == {
        *("postgres", "valkey", "bootstrap", "web", "beat", "gateway"),
        *("worker-control", "worker-outside", "relay", "agent"),
    }


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return found


@pytest.mark.parametrize(
    ("extra", "variable"),
    [
        ("compose.tls.yaml", "DSTACK_GATEWAY_TLS_PORT"),
        ("compose.tunnels.yaml", "DSTACK_GATEWAY_SSH_PORT"),
    ],
)
def test_a_second_file_opens_a_port_that_gateway_and_server_know(extra: str, variable: str) -> None:
    (port,) = yaml.safe_load((ROOT / extra).read_text())["services"]["gateway"]["ports"]

    # Whoever is told the port comes from outside: it is one number on both sides.
    assert port.startswith("${DSTACK_BIND:-127.0.0.1}:${" + variable + ":?")
    assert port.endswith("}:${" + variable + "}")
    assert all(variable in services()[name]["environment"] for name in ("gateway", "bootstrap"))


def test_the_gateways_image_can_take_tunnels() -> None:
    stage = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.M)
    (gateway,) = [each for each in stage if each.startswith("installed AS gateway")]

    assert "openssh-server" in gateway
    assert re.findall(r"^USER (\w+)$", gateway, re.M)[-1] == "dstack"


def networks(name: str) -> set[str]:
    """The networks of a service, also of one that shares those of another."""
    service = services()[name]
    shared = str(service.get("network_mode", "")).partition("service:")[2]
    return networks(shared) if shared else set(service["networks"])


@pytest.mark.parametrize("name", ["gateway", "agent"])
@pytest.mark.parametrize("kept", ["postgres", "valkey"])
def test_compose_keeps_replicas_from_the_database_and_the_broker(name: str, kept: str) -> None:
    assert not networks(name) & networks(kept)
    assert networks(name) & networks("web")
    assert networks("web") & networks(kept)


@pytest.mark.parametrize(
    "name", ["bootstrap", "web", "worker-control", "worker-outside", "beat", "relay"]
)
def test_compose_connects_the_server_with_both(name: str) -> None:
    assert networks(name) & networks("postgres") & networks("valkey")


def test_compose_asks_for_the_brokers_password(tmp_path: Path) -> None:
    """The very command of the file, run with the broker of the tests."""
    broker_of_the_file = services()["valkey"]
    shell = broker_of_the_file["command"][2].replace("$$", "$")
    path = f"{valkey.program().parent}:{os.environ['PATH']}"
    socket = tmp_path / "s"
    shell = shell.replace("requirepass", f"port 0\\nunixsocket {socket}\\nrequirepass", 1)
    env = {"PATH": path, "VALKEY_PASSWORD": "secret-1"}
    broker = subprocess.Popen(
        ["sh", "-c", shell], env=env, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert eventually(socket.exists)
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(unix_socket_path=str(socket)).ping()
        assert redis.Redis(unix_socket_path=str(socket), password="secret-1").ping()
    finally:
        # The shell's child is the broker.
        os.killpg(broker.pid, signal.SIGKILL)
        broker.wait()
    assert "VALKEY_PASSWORD" in services()["web"]["environment"]["REDIS_URL"]
