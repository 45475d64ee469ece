"""A project has no more machines, and pays no more an hour, than it may."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.autoscaling import services as autoscaling
from apps.autoscaling.models import Decision
from apps.core.errors import Invalid
from apps.instances.models import Instance
from apps.runs import services
from apps.runs.control import placement
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from apps.specs.parse import parse
from tests import factories
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, pass_time, submit
from tests.integration.runs.test_stored import in_threads
from tests.people import signed_in

pytestmark = pytest.mark.django_db(transaction=True)

SCALING = "scaling: {metric: rps, target: 1}\n"


def limit(project: Project, **limits: Any) -> None:
    Project.objects.filter(pk=project.pk).update(**limits)
    project.refresh_from_db()


def two(text: str = "") -> PlanRequest:
    return PlanRequest(f"{YAML}replicas: 2\n{text}")


@pytest.mark.parametrize("limits", [{"max_instances": 1}, {"max_usd_per_hour": Decimal("1.9999")}])
@pytest.mark.usefixtures("redis_url")
def test_of_two_that_are_placed_at_the_limit_exactly_one_gets_it(
    owner: Access, cloudy: Project, limits: dict[str, Any]
) -> None:
    run = factories.run(cloudy, spec=_spec(), state="provisioning")
    pending = [factories.replica(run, num=num, state="pending") for num in range(4)]
    limit(cloudy, **limits)

    in_threads(
        lambda n: placement.place(
            Replica.objects.select_related("run__project").get(pk=pending[n].pk), at=timezone.now()
        ),
        4,
    )

    assert Instance.objects.count() == 1
    states = sorted(Replica.objects.values_list("state", "exit_reason"))
    assert states == [("failed", "over-limit")] * 3 + [("provisioning", "")]


def _spec() -> dict[str, Any]:
    return parse(YAML).to_json()


@pytest.mark.usefixtures("eager")
def test_a_replica_that_finds_no_room_says_the_sentence_and_no_machine_is_made(
    world: World, owner: Access, cloudy: Project
) -> None:
    submit(owner, cloudy)
    limit(cloudy, max_instances=1)
    run = factories.run(cloudy, name="second", spec=_spec(), state="submitted")
    pass_time(60)

    failed = run.replicas.get()
    words = "1 replica needs 1 instance; the limit of project cloudy is 1 instance, 1 is in use"
    assert failed.message.startswith(words)
    assert len(world.made) == 1


@pytest.mark.usefixtures("eager")
def test_one_that_retries_is_placed_once_there_is_room(
    world: World, owner: Access, cloudy: Project
) -> None:
    first = submit(owner, cloudy)
    limit(cloudy, max_usd_per_hour=Decimal("1.5"))
    text = YAML.replace("hello", "second") + "retry: {on_events: [no-capacity], duration: 1h}\n"
    waits = services.plan(access=owner, project=cloudy, request=PlanRequest(text)).warnings
    second = services.submit(access=owner, project=cloudy, request=PlanRequest(text))
    words = "1 replica of $1 needs $1/h; the limit of project cloudy is $1.50/h, $1/h are in use"
    assert any(words in each for each in waits)
    pass_time(60)
    assert len(world.made) == 1

    services.stop(access=owner, run=first)
    pass_time(300)

    assert second.replicas.filter(state="provisioning").exists()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_usd_per_hour": Decimal("1.5")}, "2 replicas of $1 need $2/h; the limit of project"),
        ({"max_instances": 1}, "2 replicas need 2 instances; the limit of project cloudy is 1"),
        ({"max_usd_per_hour": Decimal(0)}, "the limit of project cloudy is $0/h"),
    ],
)
def test_a_plan_beyond_the_limit_is_refused_by_api_and_page(
    owner: Access, cloudy: Project, limits: dict[str, Any], words: str
) -> None:
    limit(cloudy, **limits)
    body = {"configuration": two().configuration}
    client = Client(headers=factories.token(owner.user).headers)

    answer = client.post("/api/projects/cloudy/runs/plan", body, "application/json")
    page = signed_in(owner.user, htmx="plan").post("/projects/cloudy/deploy/", body)

    assert answer.status_code == 422
    assert words in answer.json()["error"]["message"]
    assert words in page.content.decode()


def test_a_plan_within_the_limit_says_where_scaling_will_end(
    owner: Access, cloudy: Project
) -> None:
    limit(cloudy, max_usd_per_hour=Decimal(3))
    text = f"{YAML}replicas: 1..9\n{SCALING}"

    plan = services.plan(access=owner, project=cloudy, request=PlanRequest(text))

    assert any(
        "9 replicas of $1 need $9/h; the limit of project cloudy is $3/h" in each
        for each in plan.warnings
    )


@pytest.mark.usefixtures("eager")
def test_a_new_version_needs_one_machine_more(owner: Access, cloudy: Project) -> None:
    submit(owner, cloudy)
    limit(cloudy, max_instances=1)

    with pytest.raises(Invalid, match="1 replica needs 1 instance; .* 1 is in use"):
        submit(owner, cloudy, YAML.replace("[serve]", "[serve, again]"))


@pytest.mark.usefixtures("eager")
def test_what_changes_in_place_needs_none(owner: Access, cloudy: Project) -> None:
    submit(owner, cloudy)
    limit(cloudy, max_instances=1)

    submit(owner, cloudy, f"{YAML}replicas: 1..2\n{SCALING}")


@pytest.mark.usefixtures("eager")
def test_a_person_scales_no_further(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    limit(cloudy, max_instances=2)

    services.scale(access=owner, run=run, replicas="2")
    with pytest.raises(Invalid, match="hello may have 2 now, found 3: the limit of project cloudy"):
        services.scale(access=owner, run=run, replicas="3")


@pytest.mark.usefixtures("eager")
def test_scaling_is_bounded_and_says_so(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy, f"{YAML}replicas: 0..9\n{SCALING}")
    limit(cloudy, max_instances=0)
    autoscaling.wake(ids=[run.pk], at=timezone.now())
    autoscaling.wake(ids=[run.pk], at=timezone.now() + timedelta(seconds=1))

    told = list(Decision.objects.values_list("kind", "before", "desired_replicas", "reason"))
    assert told == [
        (
            "project",
            0,
            0,
            "stays at 0, limited by the project: a request is held, needs 1; the limit of project "
            "cloudy: 0 of 0 instances in use",
        )
    ]
    assert not Instance.objects.exists()

    limit(cloudy, max_instances=1)
    autoscaling.wake(ids=[run.pk], at=timezone.now())
    assert Run.objects.get(pk=run.pk).desired_replicas == 1


@pytest.mark.usefixtures("eager")
def test_an_idle_machine_is_taken_at_the_limit(owner: Access, cloudy: Project) -> None:
    idle = factories.instance(
        cloudy,
        backend_kind="cloud",
        region="north",
        instance_type="big",
        state="idle",
        offer={"spot": False},
        price_usd_per_hour=Decimal("0.9"),
        backend=cloudy.backends.get(),
        idle_since=timezone.now(),
    )
    limit(cloudy, max_instances=1)

    run = submit(owner, cloudy)

    replica = run.replicas.get()
    assert (replica.instance_id, replica.price_usd_per_hour) == (idle.pk, Decimal("0.9"))


@pytest.mark.usefixtures("eager")
def test_no_idle_machine_of_another_project_is_taken(owner: Access, cloudy: Project) -> None:
    other = factories.instance(
        factories.project(),
        region="north",
        instance_type="big",
        state="idle",
        offer={"spot": False},
        backend=cloudy.backends.get(),
    )

    run = submit(owner, cloudy)

    assert run.replicas.get().instance_id != other.pk


def test_hosts_that_were_there_before_do_not_count(alice: Access, project: Project) -> None:
    factories.instance(project, shared=True)
    limit(project, max_instances=0, max_usd_per_hour=Decimal(0))

    assert services.plan(
        access=alice,
        project=project,
        request=PlanRequest("type: service\ncommands: [serve]\nport: 80\nreplicas: 2\n"),
    ).offers
