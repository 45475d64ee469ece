"""Where a replica's machine stands, as the API, the page and its stream of hints tell it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.core import notifications
from apps.instances import states as machines
from apps.instances.models import Instance
from apps.runs import queries, services
from apps.runs.models import Run
from apps.runs.whereabouts import looking
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import AWAY, World
from tests.integration.runs.clouds import RETRY, YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
HELLO = "/projects/cloudy/services/hello/"


def told(run: Run) -> dict[str, Any]:
    """What the API says of its one replica."""
    client = Client(headers=factories.token(run.user, project=run.project).headers)
    answer = client.get(f"/api/projects/{run.project.name}/runs/{run.name}").json()
    (replica,) = answer["replicas"]
    return dict(replica)


def page_of(run: Run, tab: str = "") -> str:
    client = Client()
    client.force_login(run.user)
    return " ".join(re.sub(r"<[^>]*>", " ", client.get(f"{HELLO}{tab}").content.decode()).split())


def full(*regions: str) -> Any:
    def refuse(offer: base.Offer) -> None:
        if offer.region in regions:
            raise base.ProviderError("no <big> is free", kind=base.ErrorKind.CAPACITY)

    return refuse


def test_tells_of_a_machine_that_boots_and_of_what_was_tried(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.regions, world.on_create = ("north", "south", "west"), full("north", "south")
    run = submit(owner, cloudy)
    instance = Instance.objects.get(state="booting")

    replica = told(run)

    assert replica["phase"] == "booting"
    assert replica["phase_since"] == _rfc(instance.running_at or instance.state_at)
    assert replica["tried"] == [
        {"backend": "cloud", "region": region, "instance": "big", "spot": False,
         "reason": "no <big> is free"}
        for region in ("north", "south")
    ]  # fmt: skip
    for tab in ("", "replicas/"):
        assert "booting (" in page_of(run, tab)
        assert "2 offers tried cloud north big: no &lt;big&gt; is free" in page_of(run, tab)


def _rfc(at: Any) -> str:
    return str(at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def test_tells_when_capacity_is_looked_for_again(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.on_create = full("north")
    run = submit(owner, cloudy, RETRY)
    waiting = run.replicas.get(state="pending")

    replica = told(run)

    assert waiting.not_before is not None
    clock = f"{waiting.not_before:%H:%M:%S} UTC"
    next_try, _, gives_up = replica["phase"].rpartition(", gives up at ")
    assert next_try == f"waiting for capacity, next try at {clock}"
    assert gives_up.endswith(" UTC")
    assert [each["reason"] for each in replica["tried"]] == ["no <big> is free"]
    assert f"next try at {clock}" in page_of(run)


def test_tells_of_a_cloud_that_is_asked_again(world: World, owner: Access, cloudy: Project) -> None:
    def is_away(offer: base.Offer) -> None:
        raise AWAY

    world.on_create = is_away
    run = submit(owner, cloudy)
    instance = Instance.objects.get()

    clock = f"{instance.next_check_at:%H:%M:%S} UTC"
    assert told(run)["phase"] == (
        f"creating big in north: cloud did not answer within 30 s; next try at {clock}"
    )


def test_tells_of_a_machine_that_is_lost_and_of_one_that_ends(
    world: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()
    assert (told(run)["phase"], told(run)["phase_since"]) == ("", None)
    pass_time(100)
    agent.instance.refresh_from_db()

    assert told(run)["phase"] == "no report from its machine"
    assert told(run)["phase_since"] == _rfc(agent.instance.reported_at)

    world.ends_slowly = 50
    services.stop(access=owner, run=run, abort=True)
    agent.sync()
    assert Instance.objects.get().state == machines.TERMINATING
    assert told(run)["phase"] == "ending big in north"
    assert "replica 0: ending big in north (" in page_of(run)


def test_the_start_of_a_replica_shows_how_its_machine_was_made(
    world: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()

    page = page_of(run)

    legend = page[page.index("How they started") :]
    assert re.search(r"offer [\d.]+ s creating [\d.]+ s booting [\d.]+ s", legend)


def test_pages_hear_of_what_becomes_of_a_machine(
    world: World, owner: Access, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(owner, cloudy)
    heard: list[str] = []

    def hear(channel: str, message: dict[str, Any] | None = None) -> None:
        heard.append(channel)

    monkeypatch.setattr(notifications, "publish", hear)
    world.machines.clear()
    pass_time(120)

    assert {f"run:{run.pk}", f"project:{cloudy.pk}"} <= set(heard)


def test_many_replicas_are_told_of_with_few_queries(
    owner: Access, cloudy: Project, world: World, django_assert_num_queries: Any
) -> None:
    run = submit(owner, cloudy, YAML + "replicas: 8\n")
    later = timezone.now() + timedelta(seconds=60)
    run.replicas.filter(num__gte=4).update(state="pending", not_before=later)
    replicas = list(queries.replicas_of(run))

    with django_assert_num_queries(2):
        found = looking.look(replicas)

    assert {each.phase.split(",")[0] for each in found.values()} == {
        "booting",
        "waiting after a failure",
    }
