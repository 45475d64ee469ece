"""A gateway on a machine, from its request to its end, on a cloud that does what clouds do."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.backends import services as backends
from apps.core import ids
from apps.core.errors import AppError, Conflict, Forbidden
from apps.core.models import Event
from apps.gateways.machines import addresses, reconcile, verbs, workload
from apps.gateways.models import Gateway, Publication
from apps.instances.boot.machine_spec import GATEWAY_PORTS
from apps.instances.models import Instance, Workload
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.integration.gateways import on_machines
from tests.integration.gateways.on_machines import create, pass_time, publication, serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

FULL = base.ProviderError("No.", kind=base.ErrorKind.CAPACITY, scope=base.Scope.OFFER_REGION)


def states_of(gateway: Gateway) -> list[str]:
    seen = Event.objects.filter(state_machine="gateway", object_id=gateway.uid)
    return list(seen.order_by("version").values_list("new", flat=True))


def test_it_is_made_on_the_cheapest_machine_and_serves_at_its_address(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.spot = ("north",)
    gateway = create(owner, cloudy)
    pass_time(30)
    gateway.refresh_from_db()
    assert (gateway.state, gateway.address) == ("provisioning", "203.0.113.1")

    serve(gateway)

    assert states_of(gateway) == ["creating", "provisioning", "running"]
    (spec,) = world.specs
    assert spec.inbound_ports == GATEWAY_PORTS and not spec.offer.spot
    assert "boot.sh gateway" in spec.user_data and "boot.sh docker" not in spec.user_data
    assert list(world.attached.values()) == [gateway.instance and gateway.instance.ref]
    assert publication(gateway).is_default
    assert gateway.origin("who.example.com", https=True) == "https://who.example.com"


def test_its_machine_is_told_its_token_in_secret_and_counts_as_the_projects(
    world: World, owner: Access, cloudy: Project, settings: Any
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)

    agent = on_machines.agent_of(gateway)
    agent.sync()

    (told,) = agent.specs.values()
    assert (told.kind, len(told.wheel_sha256)) == ("gateway", 64)
    assert ids.token_hash(told.env["TOKEN"]) == gateway.token_hash
    row = Workload.objects.get()
    assert (row.owner_kind, row.owner_id, row.instance.project) == ("gateway", gateway.uid, cloudy)
    assert told.env["TOKEN"] not in f"{row.spec}{row.secrets}{world.specs}"
    assert told.env["DSTACK_GATEWAY_SSH_PORT"] == "2222"

    settings.DSTACK_GATEWAY_MACHINES_SHARE_PORT = True
    env = workload.of(gateway, token="t").secrets["env"]
    assert env["DSTACK_GATEWAY_SSH_PORT"] == env["DSTACK_GATEWAY_TLS_PORT"] == "443"


def test_nothing_else_is_put_on_its_machine_and_it_takes_no_idle_one(
    world: World, owner: Access, cloudy: Project
) -> None:
    first, second = create(owner, cloudy), create(owner, cloudy, name="other")
    for gateway in (first, second):
        pass_time(30)
        serve(gateway)

    first.refresh_from_db()
    assert len(world.machines) == 2 and first.instance_id != second.instance_id
    assert {each.idle_seconds for each in Instance.objects.all()} == {0}


def test_without_capacity_the_next_offer_is_taken(
    world: World, owner: Access, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_once(offer: base.Offer) -> None:
        if len(world.specs) == 1:
            raise FULL

    world.on_create = refuse_once
    gateway = create(owner, cloudy)

    pass_time(400)

    gateway.refresh_from_db()
    assert gateway.state == "provisioning"
    assert [each["error"] for each in gateway.tried] == ["No."]
    assert len(world.machines) == 1


def test_one_that_never_served_is_given_up_says_why_and_can_be_tried_again(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.refused["create"] = FULL
    gateway = create(owner, cloudy)
    pass_time(3600, step=60)
    gateway.refresh_from_db()
    assert (gateway.state, gateway.next_check_at) == ("failed", None)
    assert "No" in gateway.failure
    assert world.machines == {}

    world.refused.clear()
    verbs.retry(access=owner, publication=publication(gateway), at=timezone.now())
    pass_time(600)
    serve(gateway)

    assert gateway.state == "running"
    with pytest.raises(Conflict, match="nothing to try again"):
        verbs.retry(access=owner, publication=publication(gateway), at=timezone.now())


def test_one_that_is_lost_gets_another_machine_with_the_same_address(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    address, old, token = gateway.address, gateway.instance, gateway.token_hash

    world.machines.clear()
    pass_time(200)
    gateway.refresh_from_db()
    assert (gateway.state, gateway.address) == ("provisioning", address)
    assert gateway.token_hash != token, "what is left of the old machine is shut out"
    serve(gateway)

    assert (gateway.state, gateway.address) == ("running", address)
    assert gateway.instance != old
    assert len(world.addresses) == 1
    assert list(world.attached.values()) == [gateway.instance and gateway.instance.ref]


def test_one_that_served_is_never_given_up(world: World, owner: Access, cloudy: Project) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    world.machines.clear()
    world.refused["create"] = FULL

    pass_time(2 * 3600, step=120)

    gateway.refresh_from_db()
    assert gateway.state in ("creating", "provisioning") and gateway.next_check_at is not None


def test_one_whose_program_ends_on_its_machine_gets_another(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    agent = serve(gateway)
    first = gateway.instance

    agent.exit_all(line="no space left")
    pass_time(120)

    gateway.refresh_from_db()
    assert gateway.state == "provisioning" and gateway.instance != first
    assert "exited with code 1" in str(gateway.tried)


def test_deleted_means_that_machine_and_address_are_gone(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    world.ends_slowly = 3

    for _ in range(2):
        verbs.delete(access=owner, publication=publication(gateway), at=timezone.now())
    assert Gateway.objects.get().state == "deleting"
    assert len(world.addresses) == 1, "not before its machine is gone"
    pass_time(400)

    assert not Gateway.objects.exists() and not Publication.objects.exists()
    assert (world.machines, world.addresses, world.tidied) == ({}, {}, ["north"])
    assert states_of(gateway)[-2:] == ["deleting", "deleted"]


@pytest.mark.parametrize("seconds", [0, 10, 30])
def test_deleted_while_it_is_made_leaves_nothing(
    world: World, owner: Access, cloudy: Project, seconds: int
) -> None:
    gateway = create(owner, cloudy)
    pass_time(seconds)

    gateway.refresh_from_db()
    verbs.delete(access=owner, publication=publication(gateway), at=timezone.now())
    pass_time(600)

    assert not Gateway.objects.exists()
    assert (world.machines, world.addresses) == ({}, {})


def test_a_cloud_that_is_away_is_asked_again_and_nothing_is_made_twice(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    world.is_away = True
    pass_time(60)
    world.is_away = False
    world.loses_answers = 1

    pass_time(600)
    serve(gateway)

    assert gateway.state == "running"
    assert len(world.addresses) == len(world.machines) == 1
    assert max(world.made.values()) == 1


def test_late_and_doubled_looks_change_nothing(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    before = states_of(gateway)

    for _ in range(3):
        reconcile.advance(keys=[gateway.pk, gateway.pk], at=timezone.now())
    on_machines.report(gateway)

    assert states_of(gateway) == before


def test_the_last_machines_report_does_not_count_for_the_next(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    world.machines.clear()
    pass_time(200)

    agent = on_machines.agent_of(gateway)
    agent.sync()
    pass_time(60)

    gateway.refresh_from_db()
    assert gateway.state == "provisioning", "nothing of the new machine has been heard"


def test_a_name_is_taken_once_and_made_where_there_is_none(
    world: World, owner: Access, cloudy: Project
) -> None:
    create(owner, cloudy)
    with pytest.raises(Conflict, match="already"):
        create(owner, cloudy)

    assert [create(owner, cloudy, name="").name for _ in range(2)] == [
        "cloud-north",
        "cloud-north-2",
    ]


def test_the_limits_of_the_project_hold_for_gateways_too(
    world: World, owner: Access, cloudy: Project
) -> None:
    cloudy.max_instances = 1
    cloudy.save()
    create(owner, cloudy)
    pass_time(30)

    with pytest.raises(Conflict, match="limit of project cloudy is 1 instance"):
        create(owner, cloudy, name="other")


def test_only_an_admin_makes_changes_and_deletes(
    world: World, owner: Access, cloudy: Project
) -> None:
    member = factories.user("bob")
    factories.member(cloudy, member)
    bob = Access(user=member)
    with pytest.raises(Forbidden):
        create(bob, cloudy)
    gateway = create(owner, cloudy)

    with pytest.raises(Forbidden):
        verbs.delete(access=bob, publication=publication(gateway), at=timezone.now())
    with pytest.raises(Forbidden):
        verbs.update(
            access=bob, publication=publication(gateway), domain="evil.example", default=None
        )
    gateway.refresh_from_db()
    assert (gateway.state, gateway.domain) == ("creating", "example.com") or (
        gateway.state == "provisioning" and gateway.domain == "example.com"
    )


def test_the_servers_own_gateway_stays(world: World, owner: Access, cloudy: Project) -> None:
    local = factories.gateway(cloudy, name="local", backend="local", preset=True)
    access = Access(user=factories.user("root", admin=True))

    with pytest.raises(AppError, match="stays"):
        verbs.delete(access=access, publication=publication(local), at=timezone.now())
    with pytest.raises(AppError, match="DSTACK_GATEWAY_DOMAIN"):
        verbs.update(
            access=access, publication=publication(local), domain="x.example", default=None
        )


def test_another_domain_is_told_at_once_and_the_default_moves(
    world: World, owner: Access, cloudy: Project
) -> None:
    first, second = create(owner, cloudy), create(owner, cloudy, name="other")
    revision = second.revision

    verbs.update(access=owner, publication=publication(second), domain="new.example", default=True)

    second.refresh_from_db()
    assert (second.domain, second.revision > revision) == ("new.example", True)
    assert [publication(each).is_default for each in (first, second)] == [False, True]
    verbs.delete(access=owner, publication=publication(second), at=timezone.now())
    assert publication(first).is_default


def test_a_new_server_brings_its_gateways_to_its_version(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    agent = serve(gateway)
    row = Workload.objects.get()
    Workload.objects.filter(pk=row.pk).update(spec={**row.spec, "wheel_sha256": "0" * 64})
    before = row.instance.revision

    pass_time(60)

    agent.sync()
    (told,) = agent.specs.values()
    assert told.wheel_sha256 == row.spec["wheel_sha256"]
    row.instance.refresh_from_db()
    assert row.instance.revision > before, "its agent hears of it"


def test_an_address_that_no_gateway_has_is_given_back_and_no_other(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    pass_time(30)
    cloud, server = Cloud(None), backends.server_id()
    leaked = cloud.reserve_address("north", f"dstack-gateway-{ids.new_id()}", server_id=server)
    cloud.reserve_address("north", "somebody's own", server_id=server)
    cloud.reserve_address("north", f"dstack-gateway-{ids.new_id()}", server_id="another")

    assert addresses.collect() == [leaked.name]
    assert addresses.collect() == []

    gateway.refresh_from_db()
    assert len(world.addresses) == 3 and gateway.reserved["ref"] in world.addresses
