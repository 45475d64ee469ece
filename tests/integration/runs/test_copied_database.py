"""A database at another place than its own: nothing is asked of clouds until a person decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import identity
from apps.backends import services as backends
from apps.backends.models import Backend
from apps.gateways.models import Gateway
from apps.instances import calls, ending
from apps.instances.models import Instance, UnknownMachine
from apps.instances.strays import orphans
from tests import factories
from tests.fakes.cloud import World
from tests.integration.runs.clouds import RETRY, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    settings.SERVER_DIR = tmp_path / "home" / "server"
    return tmp_path


def move(home: Path, settings: Any) -> None:
    settings.SERVER_DIR = home / "copy" / "server"


@pytest.fixture
def copied(home: Path, settings: Any, world: World, owner: Access, cloudy: Project) -> Instance:
    """A machine of a server whose database runs at another place now."""
    submit(owner, cloudy)
    move(home, settings)
    return Instance.objects.get()


def test_the_same_place_holds_nothing(home: Path, world: World, cloudy: Project) -> None:
    assert identity.why_held() == ""
    assert identity.why_held() == ""
    assert (home / "home" / "server" / identity.FILE).read_text().strip() == identity.place()


def test_a_copy_neither_makes_nor_ends_machines(
    copied: Instance, world: World, owner: Access, cloudy: Project
) -> None:
    world.machines["i-prod"] = "dstack-00000000-0000-4000-8000-000000000000"
    world.owners["i-prod"], world.tags["i-prod"] = backends.server_id(), {}

    pass_time(7200)
    orphans.collect_orphans(at=timezone.now())
    ending.begin(copied, "a person ends it", at=timezone.now())
    pass_time(60)
    submit(owner, cloudy, RETRY.replace("hello", "second"))
    pass_time(60)

    assert sorted(world.machines) == ["i-0", "i-prod"]
    assert not UnknownMachine.objects.exists()
    with pytest.raises(calls.Busy):
        calls.ask(copied.backend, lambda provider: provider.check())


def test_a_copy_says_so_where_people_look(copied: Instance, cloudy: Project, owner: Access) -> None:
    client = Client()
    client.force_login(owner.user)
    page = client.get(f"/projects/{cloudy.name}/backends/").content.decode()
    assert "restored or copied" in page
    assert Client().get("/readyz").json()["clouds"].startswith("held")
    headers = factories.token(owner.user).headers
    made = Client(headers=headers).get(f"/api/projects/{cloudy.name}/offers")
    assert "restored or copied" in made.content.decode()


def test_goes_on_with_its_machines_where_it_is_kept(copied: Instance, world: World) -> None:
    before = backends.server_id()
    call_command("identity", "keep")

    assert (identity.why_held(), backends.server_id()) == ("", before)
    ending.begin(copied, "a person ends it", at=timezone.now())
    pass_time(60)
    assert "i-0" not in world.machines


def test_lets_go_of_the_machines_of_the_other_where_it_is_renewed(
    copied: Instance, world: World, cloudy: Project
) -> None:
    before = backends.server_id()
    call_command("identity", "renew")
    assert backends.server_id() != before

    copied.refresh_from_db()
    assert copied.state == "terminated"
    pass_time(600)
    orphans.collect_orphans(at=timezone.now())

    assert "i-0" in world.machines
    assert len(world.machines) == 2, "its service has a machine of its own"
    assert world.owners["i-1"] == backends.server_id()


def test_a_gateway_of_a_copy_that_is_renewed_takes_no_address_of_the_other(
    copied: Instance, cloudy: Project
) -> None:
    gateway = factories.gateway(cloudy, name="theirs")
    theirs = {"ref": "north/theirs", "ip": "203.0.113.9", "name": "theirs", "on": "i-0"}
    known = {"connection": copied.backend, "instance": copied, "reserved": theirs}
    Gateway.objects.filter(pk=gateway.pk).update(**known, address="203.0.113.9")

    call_command("identity", "renew")

    after = Gateway.objects.get(pk=gateway.pk)
    assert (after.reserved, after.address, after.instance) == ({}, "", None)
    assert after.uid != gateway.uid


def test_a_database_without_clouds_moves_by_itself(
    home: Path, settings: Any, project: Project
) -> None:
    assert identity.why_held() == ""
    move(home, settings)
    assert identity.why_held() == ""
    Backend.objects.create(project=project, name="cloud", kind="cloud", config="")
    assert identity.why_held() == ""


def test_a_home_that_was_copied_with_its_database_is_another_place(
    home: Path, settings: Any
) -> None:
    first = identity.place()
    # Anew, since what is changed within it would stay so after the test.
    default = {**settings.DATABASES["default"], "HOST": str(settings.SERVER_DIR / "run")}
    settings.DATABASES = {**settings.DATABASES, "default": default}
    embedded = identity.place()
    assert embedded != first
    assert embedded == identity.place()
