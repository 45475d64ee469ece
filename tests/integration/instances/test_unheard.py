"""Machines that run and never call: after a few in a row no more are paid for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.backends import base
from apps.backends.connecting import rows
from apps.backends.faults import unheard
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core import crypto, ids
from apps.gateways.models import Gateway
from apps.instances import reconcile
from apps.instances.models import GATEWAY, Instance
from apps.offers import queries as offers
from apps.offers.lists.wishes import asked_for
from apps.telemetry.alerts import queries as alerts
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.people import People, signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]
HERE, ELSEWHERE = "https://here.example.org", "https://elsewhere.example.org"
LONG_AGO = timedelta(hours=2)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[World]:
    settings.DSTACK_AGENT_URL = HERE
    fresh = World()
    monkeypatch.setattr(Cloud, "world", fresh)
    monkeypatch.setitem(PROVIDERS, "cloud", Cloud)
    monkeypatch.setattr(reconcile, "STARTED_AT", timezone.now() - 2 * LONG_AGO)
    yield fresh


@pytest.fixture
def cloud(world: World, people: People) -> Backend:
    return factories.backend(people.project, kind="cloud", name="far")


def booting(world: World, cloud: Backend, *, owner: str = "replica", **fields: Any) -> Instance:
    assert cloud.project is not None
    enrolment, at = ids.new_token("e"), timezone.now()
    number = len(world.machines)
    told = {"backend_kind": "cloud", "region": "north", "instance_type": "big"}
    offer = {"backend": "far", "region": "north", "instance": "big", "price_usd_per_hour": 1.0}
    offer |= {"hardware": {"cpus": 8, "memory_mib": 32768, "disk_mib": 102400, "gpu": None}}
    secret = {"token": crypto.encrypt(enrolment), "enrolment_hash": ids.token_hash(enrolment)}
    since = {"state_at": at - LONG_AGO, "running_at": at - LONG_AGO, "next_check_at": at}
    values = {**told, **secret, **since, "offer": offer, "ref": f"i-{number}", **fields}
    made = factories.instance(cloud.project, backend=cloud, state="booting", **values)
    world.machines[made.ref] = made.boot_name
    factories.workload(made, state="assigned", owner_kind=owner)
    return made


def times_out(*machines: Instance) -> None:
    reconcile.advance(ids=[each.pk for each in machines], at=timezone.now())
    left = Instance.objects.filter(boot_error="").exclude(state="ready")
    assert {each.state for each in left} <= {"booting"}


def all_time_out(world: World, cloud: Backend, times: int = unheard.MOST, **fields: Any) -> None:
    for _ in range(times):
        times_out(booting(world, cloud, **fields))
    cloud.refresh_from_db()


def why(cloud: Backend) -> str:
    """Why nothing is offered of it, with what its refused offers say for a while left out."""
    cloud.refresh_from_db()
    assert cloud.project is not None
    cloud.blocked_offers.all().delete()
    found = offers.find(project=cloud.project, spec=asked_for())
    assert bool(found.total) != bool(found.broken)
    return offers.why_none(found) if found.broken else ""


def test_no_more_are_made_after_a_few_and_everyone_is_told_what_to_look_at(
    people: People, world: World, cloud: Backend
) -> None:
    all_time_out(world, cloud, times=unheard.MOST - 1)
    assert why(cloud) == ""
    all_time_out(world, cloud, times=1)

    said = f"The last 3 machines of far ran and never called this server at {HERE}"
    assert said in why(cloud) and "NAT gateway" in why(cloud)
    run = factories.run(people.project, name="hello")
    assert [each.text.startswith(said) for each in alerts.of_run(run, at=timezone.now())] == [True]

    def told(who: User) -> tuple[bool, bool]:
        headers = factories.token(who).headers
        notes = Client(headers=headers).get("/api/projects/main/backends/far").json()["notes"]
        page = signed_in(who).get("/projects/main/backends/far/").content.decode()
        return any(said in note for note in notes), said in page

    assert told(people.alice) == (True, True)
    assert (
        "far cannot be used" in signed_in(people.bob).get("/projects/main/offers/").content.decode()
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"boot_step": "installing docker"}, None),
        ({"enrolled_at": timezone.now()}, None),
        ({"owner": GATEWAY}, None),
        ({"running_at": None}, base.InstanceStatus(base.InstanceState.CREATING)),
        ({}, base.InstanceStatus(base.InstanceState.FAILED)),
        ({}, base.InstanceStatus(base.InstanceState.GONE)),
    ],
)
def test_only_what_ran_and_said_nothing_counts(
    world: World, cloud: Backend, fields: dict[str, Any], status: base.InstanceStatus | None
) -> None:
    for _ in range(unheard.MOST):
        made = booting(world, cloud, **fields)
        if status is not None:
            world.states[made.ref] = status
        times_out(made)

    assert why(cloud) == ""


def test_what_booted_before_this_server_was_started_does_not_count(
    world: World, cloud: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it was away nobody could be heard, and it may have another address since."""
    monkeypatch.setattr(reconcile, "STARTED_AT", timezone.now())

    all_time_out(world, cloud)

    assert why(cloud) == ""


def test_nothing_counts_while_others_are_heard(world: World, cloud: Backend) -> None:
    """As machines without a system, of which some take longer to boot than is waited for."""
    assert cloud.project is not None
    now = timezone.now()
    factories.instance(cloud.project, backend=cloud, enrolled_at=now, reported_at=now)

    all_time_out(world, cloud)

    assert why(cloud) == ""


@pytest.mark.parametrize("is_shared", [True, False])
def test_the_gateway_of_one_project_keeps_no_other_from_a_shared_cloud(
    people: People, world: World, cloud: Backend, settings: Any, is_shared: bool
) -> None:
    settings.DSTACK_AGENT_URL = "http://127.0.0.1:8000"
    machine = factories.instance(people.project)
    gateway = factories.gateway(people.project, name="secret-name", instance=machine)
    Gateway.objects.filter(pk=gateway.pk).update(tunnel_port=2222)
    for _ in range(unheard.MOST):
        made = booting(world, cloud, home=gateway)
        Backend.objects.filter(pk=cloud.pk).update(project=None if is_shared else people.project)
        times_out(made)

    cloud.refresh_from_db()

    assert bool(unheard.why(cloud)) is not is_shared
    assert "secret-name" not in unheard.why(cloud)


def enrols(made: Instance) -> None:
    said = {"enrolment": crypto.decrypt(made.token), "token_sha256": ids.token_hash(made.name)}
    body = json.dumps({**said, "ssh_public_key": KEY})
    answer = Client(REMOTE_ADDR="fd00::7").post("/api/agent/enrol", body, "application/json")
    assert answer.status_code == 200


def says_a_step(made: Instance) -> None:
    said = {"enrolment": crypto.decrypt(made.token), "step": "network"}
    body = json.dumps(said)
    answer = Client(REMOTE_ADDR="fd00::8").post("/api/agent/step", body, "application/json")
    assert answer.status_code == 204


@pytest.mark.parametrize("call", [enrols, says_a_step])
@pytest.mark.parametrize("before", [1, unheard.MOST])
def test_one_that_calls_ends_it(world: World, cloud: Backend, call: Any, before: int) -> None:
    late = booting(world, cloud, running_at=timezone.now(), state_at=timezone.now())
    all_time_out(world, cloud, times=before)

    call(late)

    assert why(cloud) == ""
    all_time_out(world, cloud, times=unheard.MOST - 1)
    assert why(cloud) == ""
    all_time_out(world, cloud, times=1)
    assert why(cloud)


def test_another_way_home_ends_it_and_the_old_one_is_remembered(
    world: World, cloud: Backend, settings: Any
) -> None:
    all_time_out(world, cloud)
    assert why(cloud)

    settings.DSTACK_AGENT_URL = ELSEWHERE
    assert why(cloud) == ""
    settings.DSTACK_AGENT_URL = HERE
    assert why(cloud)
    settings.DSTACK_AGENT_URL = ELSEWHERE
    all_time_out(world, cloud, times=1)
    assert why(cloud) == ""


def test_a_check_that_passes_has_it_tried_again(world: World, cloud: Backend) -> None:
    all_time_out(world, cloud)

    rows.mended(cloud)

    assert why(cloud) == ""


def test_other_backends_go_on(people: People, world: World, cloud: Backend) -> None:
    factories.backend(people.project, kind="cloud", name="near")
    all_time_out(world, cloud)
    cloud.blocked_offers.all().delete()

    found = offers.find(project=people.project, spec=asked_for())

    assert {each.backend for each in found.matches.offers} == {"near"}
    assert set(found.broken) == {"far"}
