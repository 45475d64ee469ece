"""A version keeps the image that it was deployed with, wherever its tag points by then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.backends.providers.local.provider import LocalProvider
from apps.instances.models import Instance
from apps.runs import services
from apps.runs.control import reconcile
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from apps.runs.rollout import versions
from tests.fakes.agent import FakeAgent
from tests.fakes.engine import FakeEngine
from tests.integration.runs.test_engine_away import engine as engine  # the fixture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager", "gateway", "engine"),
]

YAML = "type: service\nname: hello\nimage: team/app:latest\nport: 8000\nreplicas: {}\nenv: [A={}]\n"


@pytest.fixture(autouse=True)
def forgotten_facts(engine: FakeEngine) -> Iterator[None]:
    yield
    LocalProvider._facts = None


def submit(alice: Access, project: Project, *, replicas: int = 1, env: str = "1") -> Run:
    request = PlanRequest(YAML.format(replicas, env))
    return services.submit(access=alice, project=project, request=request)


def serve(agent: FakeAgent, digest: str) -> list[str | None]:
    """Let what is new run the image that the tag means now; return with which pins it was
    ordered."""
    known = set(agent.workloads)
    agent.sync()
    new = [pk for pk in agent.workloads if pk not in known]
    for pk in new:
        pin = agent.specs[pk].image_pin or f"team/app@sha256:{digest}"
        agent.workloads[pk] = replace(agent.workloads[pk], image_pin=pin)
    agent.serve()
    return [agent.specs[pk].image_pin for pk in new]


def look(run: Run) -> None:
    reconcile.reconcile(ids=[run.pk], at=timezone.now())
    run.refresh_from_db()


def test_replacements_and_more_replicas_get_the_image_of_the_first(
    alice: Access, project: Project
) -> None:
    run = submit(alice, project)
    agent = FakeAgent(Instance.objects.get())
    assert serve(agent, "one") == [None]

    services.scale(access=alice, run=run, replicas="3")
    look(run)
    assert serve(agent, "two") == ["team/app@sha256:one"] * 2
    agent.exit_all(reason=wire.REASON_HOST_STOPPED)
    look(run)

    assert serve(agent, "two") == ["team/app@sha256:one"] * 3


def test_a_new_version_gets_what_the_tag_means_then(alice: Access, project: Project) -> None:
    run = submit(alice, project)
    agent = FakeAgent(Instance.objects.get())
    serve(agent, "one")
    look(run)

    submit(alice, project, env="2")
    look(run)

    assert serve(agent, "two") == [None]


def test_an_unchanged_service_gets_what_the_tag_means_now_when_forced(
    alice: Access, project: Project
) -> None:
    run = submit(alice, project)
    agent = FakeAgent(Instance.objects.get())
    serve(agent, "one")
    look(run)
    request = PlanRequest(YAML.format(1, "1"), force=True)

    plain = services.plan(access=alice, project=project, request=replace(request, force=False))
    forced = services.plan(access=alice, project=project, request=request)
    services.submit(access=alice, project=project, request=request, plan_id=forced.plan_id)
    look(run)
    assert (plain.action, plain.rollout) == ("none", False)
    assert (forced.action, forced.rollout, forced.differences) == ("update", True, [])
    assert serve(agent, "two") == [None]
    look(run)
    assert (run.version, run.fallback) == (2, None)
    assert run.versions.get(version=2).note == "deployed again"

    # Its text is the same, its image is not.
    versions.rollback(access=alice, run=run, to=1)
    look(run)
    assert serve(agent, "three") == ["team/app@sha256:one"]
    versions.rollback(access=alice, run=Run.objects.get(), to=1)
    assert Run.objects.get().version == 3


def test_a_forced_version_that_does_not_come_up_leaves_the_image_before(
    alice: Access, project: Project
) -> None:
    run = submit(alice, project)
    agent = FakeAgent(Instance.objects.get())
    serve(agent, "one")
    look(run)

    services.submit(
        access=alice, project=project, request=PlanRequest(YAML.format(1, "1"), force=True)
    )
    look(run)
    agent.sync()
    broken = next(
        pk for pk, spec in agent.specs.items() if spec.image_pin is None and pk != min(agent.specs)
    )
    agent._set(broken, state="exited", ready=False, exit_code=1, reason="exited")
    agent.report()
    look(run)

    assert (run.version, run.notice.split(":")[0]) == (1, "Version 2 was given up")
    services.scale(access=alice, run=run, replicas="2")
    look(run)
    assert serve(agent, "two") == ["team/app@sha256:one"]


def test_a_rollback_gets_the_image_of_the_version_to_which_it_goes(
    alice: Access, project: Project
) -> None:
    run = submit(alice, project)
    agent = FakeAgent(Instance.objects.get())
    serve(agent, "one")
    look(run)
    submit(alice, project, env="2")
    look(run)
    serve(agent, "two")
    look(run)

    versions.rollback(access=alice, run=run, to=1)
    look(run)
    assert serve(agent, "three") == ["team/app@sha256:one"]
    run.refresh_from_db()
    versions.rollback(access=alice, run=run, to=2)
    look(run)
    assert serve(agent, "three") == ["team/app@sha256:two"]
    run.refresh_from_db()
    # A version that is a rollback itself is one to go back to, too.
    versions.rollback(access=alice, run=run, to=3)
    look(run)
    assert serve(agent, "three") == ["team/app@sha256:one"]


def test_says_when_replicas_of_a_version_run_different_images(
    alice: Access, project: Project
) -> None:
    run = submit(alice, project, replicas=2)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    for number, pk in enumerate(list(agent.workloads)):
        pin = f"team/app@sha256:{number}"
        agent.workloads[pk] = replace(agent.workloads[pk], image_pin=pin)

    agent.serve()

    run.refresh_from_db()
    assert run.notice == (
        "Replicas of version 1 run different images: team/app@sha256:0 and team/app@sha256:1."
    )


def test_says_nothing_when_they_run_the_same(alice: Access, project: Project) -> None:
    run = submit(alice, project, replicas=2)
    agent = FakeAgent(Instance.objects.get())

    serve(agent, "one")

    run.refresh_from_db()
    assert run.notice == ""
