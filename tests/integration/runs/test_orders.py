from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.instances.models import Workload
from apps.runs import services
from apps.runs.requests import PlanRequest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\nresources:\n"


def ordered(alice: Access, project: Project, resources: str) -> Any:
    """What the agent gets to run for a service with these resources."""
    services.submit(access=alice, project=project, request=PlanRequest(YAML + resources))
    return Workload.objects.get().spec


def test_a_shared_host_gives_a_replica_no_more_than_it_asked_for(
    alice: Access, project: Project
) -> None:
    spec = ordered(alice, project, "  cpu: 1\n  memory: 50MB..64MB\n")

    assert (spec["cpu_limit"], spec["memory_limit_mib"]) == (1, 64)


def test_a_shared_host_sets_no_limit_where_none_was_asked_for(
    alice: Access, project: Project
) -> None:
    spec = ordered(alice, project, "  cpu: 1..\n  memory: 50MB..\n")

    assert (spec["cpu_limit"], spec["memory_limit_mib"]) == (None, None)


def test_a_limit_beyond_the_host_is_none(alice: Access, project: Project) -> None:
    spec = ordered(alice, project, "  cpu: 1..100000\n  memory: 50MB..900TB\n")

    assert (spec["cpu_limit"], spec["memory_limit_mib"]) == (None, None)
