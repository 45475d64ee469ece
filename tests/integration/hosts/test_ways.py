"""Hosts of a server that nobody can call: their agents call it through a gateway, as machines of
clouds do."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import way_home
from apps.gateways.models import Gateway
from apps.hosts.models import Host
from apps.hosts.work import findings, machines, scripts, steps, ways
from apps.instances.boot import former, keys
from apps.instances.models import FormerAgent, Instance
from apps.routing import tunnels
from tests import factories

pytestmark = pytest.mark.django_db

UNIT = "/etc/systemd/system/dstack-way-home.service"
FACTS = {
    "cpus": 4,
    "memory_mib": 8000,
    "disk_mib": 9000,
    "arch": "x86",
    "python": "/usr/bin/python3",
}


@pytest.fixture(autouse=True)
def on_loopback(settings: Any) -> None:
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "http://127.0.0.1:3000"


@pytest.fixture
def project() -> Project:
    return factories.project("main")


@pytest.fixture
def host(project: Project) -> Host:
    return Host.objects.create(
        project=project, name="desk", user="ann", address="192.0.2.7", state="checking", facts=FACTS
    )


def relay(project: Project) -> Gateway:
    return factories.gateway(
        project,
        name="edge",
        address="192.0.2.9",
        backend="aws",
        instance=factories.instance(project),
        tunnel_port=2222,
        tunnel_user="dstack-tunnel",
        tunnel_host_key=keys.new().public,
    )


def installation(host: Host, *, systemd: bool) -> dict[str, Any]:
    """Return what the script of an installation hands to the host."""
    instance, enrolment = machines.wanted(host, "", at=timezone.now())
    way = ways.of(host)
    wanted = scripts.Installation(
        python="/usr/bin/python3",
        systemd=systemd,
        instance_id=str(instance.pk),
        called={"url": way.url, "authority": way.authority},
        way=ways.files(instance, way),
        enrolment={"url": way.url, "enrolment": enrolment},
        let_in={},
    )
    found = re.search(r"<<'END_OF_DATA'\n(\S+)\n", scripts.install(wanted))
    assert found
    said: dict[str, Any] = json.loads(base64.b64decode(found[1]))
    return said


def content(said: dict[str, Any], path: str) -> str:
    (file,) = [each for each in said["files"] if each["path"] == path]
    return base64.b64decode(file["content"]).decode()


def test_without_a_gateway_the_check_says_what_to_do(host: Host) -> None:
    with pytest.raises(way_home.NoWayHome, match="dstack gateway create"):
        steps._asked(host)


def test_the_check_tries_the_gateway_in_place_of_the_server(project: Project, host: Host) -> None:
    relay(project)

    asked = steps._asked(host)

    assert (asked["url"], asked["gateways"]) == ("", [["192.0.2.9", 2222]])
    assert findings._server(None).text == "The host calls it through a gateway."


def test_a_host_gets_the_way_and_a_key_that_opens_it(project: Project, host: Host) -> None:
    gateway = relay(project)

    said = installation(host, systemd=True)

    assert said["called"] == {"url": "http://127.0.0.1:621", "authority": ""}
    assert said["has_way"]
    assert "-p 2222 -l dstack-tunnel -- 192.0.2.9" in content(said, UNIT)
    opens = keys.read(content(said, "/etc/dstack-agent/way-home.key")).public
    row = {"public_key": opens, "ports": [], "calls_server": True}
    assert tunnels.wanted(gateway.pk) == {said["instance_id"]: row}


def test_without_systemd_the_supervisor_has_its_command(
    project: Project, host: Host, tmp_path: Path
) -> None:
    relay(project)

    said = installation(host, systemd=False)

    assert UNIT not in {each["path"] for each in said["files"]}
    command = content(said, "/opt/dstack-agent/way-home.sh")
    assert command.startswith("exec /usr/bin/ssh -F none -N -T -L 127.0.0.1:621:127.0.0.1:19999")
    (tmp_path / "way-home.sh").write_text(command)
    subprocess.run(["sh", "-n", str(tmp_path / "way-home.sh")], check=True, timeout=10)


def test_an_agent_that_was_left_behind_can_still_be_told(project: Project, host: Host) -> None:
    gateway = relay(project)
    said = installation(host, systemd=True)
    instance = Instance.objects.get(pk=said["instance_id"])
    machines.end(instance, "its host is removed", at=timezone.now())
    assert tunnels.wanted(gateway.pk) == {}

    former.note(instance, at=timezone.now())

    assert set(tunnels.wanted(gateway.pk)) == {said["instance_id"]}
    FormerAgent.objects.update(told_at=timezone.now() - 2 * former.HEARD)
    assert tunnels.wanted(gateway.pk) == {}


def test_a_server_that_can_be_called_needs_no_way(host: Host, settings: Any) -> None:
    settings.DSTACK_AGENT_URL = "http://192.0.2.1:3000"

    said = installation(host, systemd=True)

    assert (said["called"]["url"], said["has_way"]) == ("http://192.0.2.1:3000", False)
    assert steps._asked(host)["url"] == "http://192.0.2.1:3000"
