"""What a host offers follows what its agent reports; and an agent speaks for its own host only."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project
from apps.agent.host import hardware
from apps.backends import nvidia
from apps.backends import services as backends
from apps.backends.base import Offer
from apps.core import crypto
from apps.hosts.models import Host
from apps.hosts.work import machines, steps
from apps.instances.models import Instance, Workload
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

H200 = "0, NVIDIA H200, 143771, Disabled, 9.0\n"
T4 = "1, Tesla T4, 15360, [N/A], 7.5\n"
CHECKED: dict[str, Any] = {
    "cpus": 4, "memory_mib": 8000, "disk_mib": 90000, "arch": "x86", "gpus": None,
    "images": None, "pythons": ["3.11"], "shells": ["sh"], "python": "/usr/bin/python3",
}  # fmt: skip
SAID: dict[str, Any] = {
    "cpus": 8, "memory_mib": 64000, "disk_mib": 95000, "gpus": H200 + T4,
    "images": ["who:1"], "pythons": ["3.12", "3.11"], "shells": ["bash", "sh"],
}  # fmt: skip


@pytest.fixture
def project(redis_url: str) -> Project:
    return factories.project("main")


@pytest.fixture
def desk(project: Project) -> Host:
    return added(project, "desk")


def added(project: Project, name: str) -> Host:
    """An active host of which the agent has reported."""
    backend = project.backends.filter(kind="ssh").first()
    instance = factories.instance(
        project,
        name=name,
        backend=backend or backends.connect(project=project, kind="ssh", config={}),
        backend_kind="ssh",
        shared=True,
    )
    made = Host.objects.create(
        project=project, instance=instance, name=name, user="ann", state="active",
        address=f"{name}.example", facts=CHECKED, price_usd_per_hour="0.3",
    )  # fmt: skip
    machines.publish(project)
    return made


def report(client: Client, host: Host, **said: Any) -> int:
    assert host.instance is not None
    headers = {"Authorization": f"Bearer {crypto.decrypt(host.instance.token)}"}
    body = {"boot_id": "b", "workloads": [], **said}
    url = "/api/agent/report"
    status = client.post(url, body, content_type="application/json", headers=headers).status_code
    for each in Host.objects.all():
        steps.advance(ids=[each.pk], at=timezone.now())
    return status


def offers(project: Project, name: str = "desk") -> list[Offer]:
    provider = backends.provider_of(project.backends.get(kind="ssh"))
    return [each for each in provider.offers() if each.instance == name]


def test_the_offer_follows_the_agents_reports(client: Client, project: Project, desk: Host) -> None:
    (before,) = offers(project)
    assert (before.hardware.gpu, before.executors) == (None, ("process",))

    assert report(client, desk, hardware=SAID) == 200

    found = offers(project)
    gpus = [each.hardware.gpu for each in found]
    assert [(gpu.name, gpu.count, gpu.numbers) for gpu in gpus if gpu] == [
        ("H200", 1, (0,)), ("T4", 1, (1,)),
    ]  # fmt: skip
    assert {(each.hardware.cpus, each.hardware.memory_mib) for each in found} == {(8, 64000)}
    assert {each.executors for each in found} == {("docker", "process")}
    assert {each.price_usd_per_hour for each in found} == {0.3}

    report(client, desk, hardware={**SAID, "gpus": T4, "images": None})
    (after,) = offers(project)
    assert after.hardware.gpu and after.hardware.gpu.name == "T4"
    assert after.executors == ("process",)
    report(client, desk)
    assert offers(project) == [after]


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": -1},
        {"cpus": 10**9},
        {"memory_mib": 0},
        {"memory_mib": 2**40},
        {"disk_mib": -5},
        {"gpus": "x" * 30_000},
        {"images": ["x" * 700]},
        {"images": ["x"] * 600},
        {"pythons": ["3.11; rm"]},
        {"shells": ["/tmp/shell"]},
    ],
)
def test_what_cannot_be_is_not_offered(
    client: Client, project: Project, desk: Host, change: dict[str, Any]
) -> None:
    before = offers(project)

    assert report(client, desk, hardware={**SAID, **change}) == 200

    assert offers(project) == before


def test_what_cannot_be_stored_breaks_nothing(client: Client, desk: Host) -> None:
    odd = "\x00\ud800 \\u0000"
    said = {"hostname": odd, "boot_id": odd, "agent_version": odd, "isolation": {"level": odd}}
    assert report(client, desk, hardware={**SAID, "gpus": odd, "images": [odd]}, **said) == 200
    assert report(client, desk, hardware={**SAID, "cpus": "many"}) == 422


def test_an_agent_speaks_for_its_own_host_only(
    client: Client, project: Project, desk: Host
) -> None:
    other = added(project, "other")
    assert other.instance is not None and desk.instance is not None
    theirs = factories.workload(other.instance, state="running", address="127.0.0.1:1")
    forged = {"id": str(theirs.pk), "state": "exited", "address": "10.0.0.1:22", "ready": True}

    status = report(
        client,
        desk,
        hostname="other",
        instance_id=str(other.instance.pk),
        workloads=[forged],
        hardware={**SAID, "name": "other", "ref": f"host-{other.pk}", "price_usd_per_hour": 0},
    )

    assert status == 200
    assert [each.hardware.gpu for each in offers(project, "other")] == [None]
    assert {each.price_usd_per_hour for each in offers(project)} == {0.3}
    kept = Workload.objects.get(pk=theirs.pk)
    assert (kept.state, kept.address, kept.ready) == ("running", "127.0.0.1:1", theirs.ready)
    names = dict(Instance.objects.values_list("name", "hostname"))
    assert names == {"desk": "other", "other": ""}
    assert set(Host.objects.values_list("name", flat=True)) == {"desk", "other"}


def test_agent_and_server_ask_for_the_same(tmp_path: Any) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ncase "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is '
                       'not a valid field to query."; exit 1;; esac\n'
                       'echo "0, Tesla T4, 15360, [N/A]"\n')  # fmt: skip
    program.chmod(0o755)

    assert hardware.GPU_FIELDS == nvidia.FIELDS
    (gpu,) = nvidia.read(hardware.gpus(f"{tmp_path}:/usr/bin:/bin") or "", host_memory_mib=1).kinds
    assert (gpu.name, gpu.memory_mib) == ("T4", 16384)
    found = hardware.look(tmp_path, lambda: None)
    assert found.cpus >= 1 and found.memory_mib > 100 and found.pythons
