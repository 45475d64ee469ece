"""Machines that carry this server's id and that no row knows: shown, and ended after a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.backends import services as backends
from apps.instances.models import Instance, UnknownMachine
from apps.instances.strays import orphans, unknown
from tests import factories
from tests.fakes.cloud import World
from tests.integration.runs.clouds import submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OTHER = "00000000-0000-0000-0000-000000000000"


def stray(world: World, ref: str = "i-stray", name: str = "", **tags: Any) -> str:
    """A machine of this server in the cloud, which no row knows."""
    world.machines[ref] = name or f"dstack-{uuid4()}"
    world.owners[ref], world.tags[ref] = backends.server_id(), tags
    return ref


def collect(at: datetime) -> None:
    orphans.collect_orphans(at=at)


def told(project: Project, user: Any) -> list[dict[str, Any]]:
    headers = factories.token(user).headers
    answer = Client(headers=headers).get(f"/api/projects/{project.name}/instances").json()
    found: list[dict[str, Any]] = answer["unknown_machines"]
    return found


def page(project: Project, user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.get(f"/projects/{project.name}/instances/").content.decode()


def test_is_shown_to_admins_of_the_server_alone_and_ended_after_an_hour(
    world: World, owner: Access, cloudy: Project
) -> None:
    root, at = factories.user("root", admin=True), timezone.now()
    stray(world, note="<b>bold</b>")
    collect(at)
    collect(at + HOUR - timedelta(seconds=1))

    (found,) = told(cloudy, root)
    assert (found["backend"], found["ref"], found["tags"]) == (
        "cloud", "i-stray", {"note": "<b>bold</b>"},
    )  # fmt: skip
    assert found["ends_at"][:19] == (at + HOUR).isoformat()[:19]
    assert "i-stray" in page(cloudy, root)
    assert told(cloudy, owner.user) == []
    assert "i-stray" not in page(cloudy, owner.user)
    assert "i-stray" in world.machines

    collect(at + HOUR)
    collect(at + HOUR + timedelta(minutes=5))

    assert world.machines == {}
    assert told(cloudy, root) == []


def test_the_time_is_a_setting(world: World, cloudy: Project, settings: Any) -> None:
    settings.DSTACK_UNKNOWN_MACHINE_GRACE_SECONDS = 60
    stray(world)
    at = timezone.now()
    collect(at)
    collect(at + timedelta(seconds=61))

    assert world.machines == {}


def test_the_time_begins_anew_when_it_was_gone(world: World, cloudy: Project) -> None:
    name, at = f"dstack-{uuid4()}", timezone.now()
    stray(world, name=name)
    collect(at)
    del world.machines["i-stray"]
    collect(at + HOUR / 2)
    stray(world, name=name)
    collect(at + HOUR)
    collect(at + HOUR * 1.4)

    assert list(world.machines) == ["i-stray"]
    assert UnknownMachine.objects.get().first_seen_at == at + HOUR


def test_one_that_is_not_ended_is_asked_for_again(world: World, cloudy: Project) -> None:
    stray(world)
    at = timezone.now()
    collect(at)
    world.ends_nothing = True
    collect(at + HOUR)
    there = dict(world.machines)
    world.ends_nothing = False
    collect(at + HOUR * 2)

    assert list(there) == ["i-stray"]
    assert world.machines == {}


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        # Whoever may tag in the account claims that it is ours, with the name of another server's.
        (f"dstack-{OTHER}", {base.SERVER_TAG: OTHER}),
        ("my-own-machine", {}),
        ("dstack-", {}),
        ("dstack-not-a-number", {}),
        (f"dstack-{OTHER}".upper(), {}),
        (f"dstack-{{{OTHER}}}", {}),
        ("", {}),
    ],
)
def test_what_is_not_named_as_ours_or_is_another_servers_is_left_alone(
    world: World, cloudy: Project, name: str, tags: dict[str, str]
) -> None:
    stray(world)
    world.machines["i-stray"] = name
    world.tags["i-stray"] = tags
    at = timezone.now()
    for hours in range(3):
        collect(at + hours * DAY)

    assert world.machines == {"i-stray": name}


def test_a_machine_of_another_server_that_is_named_as_one_of_ours_is_left_alone(
    world: World, owner: Access, cloudy: Project
) -> None:
    for ref in ("i-unknown", "i-over"):
        stray(world, ref)
        world.owners[ref] = OTHER
    over = factories.instance(cloudy, state="failed", state_at=timezone.now() - DAY)
    world.machines["i-over"] = over.boot_name
    before = dict(world.machines)
    collect(timezone.now())
    collect(timezone.now() + DAY)

    assert world.machines == before
    assert UnknownMachine.objects.count() == 0


def test_a_machine_that_a_row_knows_is_none_of_them(
    world: World, owner: Access, cloudy: Project
) -> None:
    """Also where it is another backend's row: two are connected to the same account."""
    submit(owner, cloudy)
    factories.project("twin", admin=factories.user("bob"))
    backends.connect(project=Project.objects.get(name="twin"), kind="cloud", config={})
    collect(timezone.now())
    collect(timezone.now() + DAY)

    assert UnknownMachine.objects.count() == 0
    assert len(world.machines) == 1


def test_after_an_older_backup_what_was_made_since_is_ended(
    world: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    # The backup was made before the run was submitted.
    run.replicas.update(workload=None, instance=None)
    Instance.objects.all().delete()
    at = timezone.now()
    collect(at)
    noted = UnknownMachine.objects.get()
    collect(at + HOUR)

    assert unknown.ends_at(noted) == at + HOUR
    assert world.machines == {}


def test_a_backend_that_cannot_be_used_stops_no_other(world: World, cloudy: Project) -> None:
    broken = factories.project("broken", admin=factories.user("bob"))
    factories.backend(broken, kind="cloud", config={"unheard": "of"})
    factories.backend(broken, kind="unheard-of")
    last = factories.project("last", admin=factories.user("dave"))
    backends.connect(project=last, kind="cloud", config={})
    stray(world)
    collect(timezone.now())

    noted = UnknownMachine.objects.order_by("backend").values_list("backend__project", flat=True)
    assert list(noted) == [cloudy.pk, last.pk]


def test_the_machine_of_the_server_itself_is_never_one(tmp_path: Any) -> None:
    project = factories.project("main", admin=factories.user("alice"))
    home = tmp_path / "agent"
    home.mkdir()
    config = {"boot_path": str(home / "config.json"), "url": "http://127.0.0.1:1"}
    backend = backends.connect(project=project, kind="local", config=config)
    provider = backends.provider_of(backend)
    boot = base.Boot(f"dstack-{uuid4()}", "1", "http://127.0.0.1:1", "token")
    provider.create(base.InstanceSpec(offer=provider.offers()[0], boot=boot))
    collect(timezone.now())
    collect(timezone.now() + DAY)

    assert provider.list_owned(backends.server_id())
    assert UnknownMachine.objects.count() == 0
