"""A service has at most as many replicas as its project may."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import Invalid, NotFound
from apps.runs import services
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from tests import factories
from tests.people import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

SCALING = "scaling: {metric: rps, target: 1}\n"


def asked(replicas: str, name: str = "hello") -> PlanRequest:
    scaling = SCALING if ".." in replicas else ""
    return PlanRequest(
        f"type: service\nname: {name}\ncommands: [serve]\nport: 8000\n"
        f"replicas: {replicas}\nresources: {{cpu: 1, memory: 10MB.., disk: 10MB..}}\n{scaling}"
    )


@pytest.fixture
def limited(project: Project) -> Project:
    project.replicas_limit = 3
    project.save()
    return project


@pytest.mark.parametrize(("replicas", "found"), [("4", "4"), ("0..10000", "10,000")])
def test_refuses_more_at_plan_by_api_and_page(
    alice: Access, limited: Project, replicas: str, found: str
) -> None:
    words = f"at most 3 in project main, found {found}: ask for fewer, or have an admin"
    body = {"configuration": asked(replicas).configuration}
    client = Client(headers=factories.token(alice.user).headers)

    answer = client.post("/api/projects/main/runs/plan", body, "application/json")
    page = signed_in(alice.user, htmx="plan").post("/projects/main/deploy/", body)

    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["message"].startswith(f"replicas: {words}")
    assert [detail["path"] for detail in error["details"]] == ["replicas"]
    assert words in page.content.decode()
    assert not Run.objects.exists()


def test_takes_as_many_as_the_project_may(alice: Access, limited: Project) -> None:
    plan = services.plan(access=alice, project=limited, request=asked("0..3"))

    assert plan.action == "create"


def test_is_the_servers_where_the_project_has_none(
    alice: Access, project: Project, settings: Any
) -> None:
    settings.DSTACK_REPLICAS_LIMIT = 2

    with pytest.raises(Invalid, match="at most 2 in project main, found 3"):
        services.plan(access=alice, project=project, request=asked("3"))


def test_a_run_from_before_keeps_what_it_has_but_gets_no_more(
    alice: Access, project: Project
) -> None:
    run = services.submit(access=alice, project=project, request=asked("0..5"))
    project.replicas_limit = 3
    project.save()

    same = services.plan(access=alice, project=project, request=asked("1..5"))
    services.scale(access=alice, run=run, replicas="0..4")

    assert same.action == "update"
    with pytest.raises(Invalid, match="at most 3 in project main, found 6"):
        services.plan(access=alice, project=project, request=asked("0..6"))


@pytest.mark.parametrize("wanted", ["4", "0..4"])
def test_scaling_stays_within_it_too(alice: Access, limited: Project, wanted: str) -> None:
    replicas = "0..2" if ".." in wanted else "1"
    run = services.submit(access=alice, project=limited, request=asked(replicas))

    with pytest.raises(Invalid, match="at most 3 in project main, found 4"):
        services.scale(access=alice, run=run, replicas=wanted)


def test_nothing_starts_in_a_project_that_was_just_deleted(
    alice: Access, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = services._create

    def after_the_deletion(*arguments: Any) -> Run:
        Project.objects.filter(pk=project.pk).update(deleted_at=timezone.now())
        return create(*arguments)

    monkeypatch.setattr(services, "_create", after_the_deletion)

    with pytest.raises(NotFound, match="Project main was just deleted"):
        services.submit(access=alice, project=project, request=asked("1"))
    assert not Run.objects.exists()
