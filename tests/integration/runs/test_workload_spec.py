from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.base import Hardware, Offer
from apps.instances.models import Workload
from apps.runs import services
from apps.runs.control import workload_spec
from apps.runs.planning.request import PlanRequest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\nresources:\n"


def ordered(alice: Access, project: Project, resources: str) -> Any:
    """What the agent gets to run for a service with these resources."""
    services.submit(access=alice, project=project, request=PlanRequest(YAML + resources))
    return Workload.objects.get().spec


def probes(alice: Access, project: Project, more: str) -> list[tuple[str, str, bool, bool]]:
    text = YAML.removesuffix("resources:\n") + more
    services.submit(access=alice, project=project, request=PlanRequest(text))
    asked = Workload.objects.get().spec["probes"]
    return [(p["kind"], p["url"], p["until_ready"], p["accepts_refusal"]) for p in asked]


def test_a_model_is_asked_to_chat_until_it_answers_then_for_its_port(
    alice: Access, project: Project
) -> None:
    found = probes(alice, project, "model:\n  name: org/m\n  prefix: /api/v3\n")

    assert found == [("http", "/api/v3/chat/completions", True, True), ("tcp", "/", False, False)]


def test_a_model_with_a_probe_of_its_own_is_asked_as_it_says(
    alice: Access, project: Project
) -> None:
    found = probes(alice, project, "model: org/m\nprobes:\n  - type: http\n    url: /health\n")

    assert found == [("http", "/health", False, False)]


@pytest.mark.parametrize(
    "more", ["model: org/m\nprobes: []\n", "model:\n  name: org/m\n  format: tgi\n", ""]
)
def test_other_services_are_asked_for_their_port(
    alice: Access, project: Project, more: str
) -> None:
    assert probes(alice, project, more) == [("tcp", "/", False, False)]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("off", 3650 * 86_400.0), ("0", 0.0), ("true", 300.0), ("2d", 172_800.0)],
)
def test_gives_a_replica_its_time_to_stop(
    alice: Access, project: Project, written: str, seconds: float
) -> None:
    text = YAML.removesuffix("resources:\n") + f"stop_duration: {written}\n"

    services.submit(access=alice, project=project, request=PlanRequest(text))

    assert Workload.objects.get().spec["stop_seconds"] == seconds


def test_a_shared_host_gives_a_replica_no_more_than_it_asked_for(
    alice: Access, project: Project
) -> None:
    spec = ordered(alice, project, "  cpu: 1\n  memory: 50MB..64MB\n  disk: 10MB..20MB\n")

    limits = (spec["cpu_limit"], spec["memory_limit_mib"], spec["disk_limit_mib"])
    assert limits == (1, 64, 20)


def test_a_shared_host_sets_no_limit_where_none_was_asked_for(
    alice: Access, project: Project
) -> None:
    spec = ordered(alice, project, "  cpu: 1..\n  memory: 50MB..\n  disk: 10MB..\n")

    limits = (spec["cpu_limit"], spec["memory_limit_mib"], spec["disk_limit_mib"])
    assert limits == (None, None, None)


def test_a_limit_beyond_the_host_is_none(alice: Access, project: Project) -> None:
    spec = ordered(alice, project, "  cpu: 1..100000\n  memory: 50MB..900TB\n")

    assert (spec["cpu_limit"], spec["memory_limit_mib"]) == (None, None)


@pytest.mark.parametrize(
    ("executors", "host"), [(("process",), "127.0.0.1"), (("docker",), "0.0.0.0")]
)
def test_tells_a_replica_the_address_to_listen_on(
    alice: Access, project: Project, executors: tuple[str, ...], host: str
) -> None:
    run = services.submit(
        access=alice,
        project=project,
        request=PlanRequest(YAML.replace("resources:\n", "env: [DSTACK_HOST=mine]\n")),
    )
    hardware = Hardware(cpus=2, memory_mib=1024, disk_mib=1024)
    offer = Offer("local", "local", "box", hardware, 0.0, shared=True, executors=executors)

    made = workload_spec.new_workload(run=run, replica=run.replicas.get(), offer=offer)

    assert made.secrets["env"]["DSTACK_HOST"] == host
