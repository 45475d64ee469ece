"""A backend is connected anew without losing sight of the machines that it made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pydantic import Field

from apps.accounts.access import Access
from apps.backends import base, queries
from apps.backends.connecting import checks, requests, rows
from apps.backends.models import Backend, Check
from apps.backends.registry import PROVIDERS
from apps.core.errors import Conflict
from apps.offers import blocked
from apps.offers import queries as offers
from apps.offers.lists.wishes import asked_for
from apps.offers.models import BlockedOffer
from tests import factories
from tests.fakes.cloud import Cloud, CloudConfig, World
from tests.people import People

FIRST, SAME, OTHER = "first key", "second key of the same account", "key of another account"
UNREADABLE = "of another server"


class KeyedConfig(CloudConfig):
    key: str = Field(default="", json_schema_extra={"secret": True})
    size: int = 1


class Keyed(Cloud):
    """The cloud of one account; whoever comes with the key of another one finds nothing there."""

    Config = KeyedConfig
    config: KeyedConfig

    def inspect(self, ref: str) -> base.InstanceStatus:
        if self.config.key == OTHER:
            return base.InstanceStatus(base.InstanceState.GONE)
        return super().inspect(ref)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    fresh = World()
    monkeypatch.setattr(Cloud, "world", fresh)
    monkeypatch.setitem(PROVIDERS, "cloud", Keyed)
    yield fresh


@pytest.fixture
def cloud(world: World, people: People) -> Backend:
    return factories.backend(people.project, kind="cloud", config={"key": FIRST})


def machine(world: World, cloud: Backend, ref: str = "i-1", **fields: Any) -> None:
    assert cloud.project is not None
    factories.instance(cloud.project, backend=cloud, backend_kind="cloud", ref=ref, **fields)
    world.machines[ref] = ref


def changed(people: People, cloud: Backend, *, check: bool = True, **config: Any) -> Any:
    access = Access(user=people.alice)
    made = requests.reconnect(access=access, backend=cloud, config=config, check=check)
    if isinstance(made, Check):
        checks.run(ids=[made.pk])
        made.refresh_from_db()
    return made


@pytest.mark.parametrize("state", ["booting", "ready", "lost", "terminating"])
def test_another_account_is_refused_while_machines_live_in_this_one(
    people: People, world: World, cloud: Backend, state: str
) -> None:
    machine(world, cloud, state=state)

    check = changed(people, cloud, key=OTHER)

    assert check.problems[0]["message"] == checks.ELSEWHERE
    cloud.refresh_from_db()
    assert rows.stored(cloud)["key"] == FIRST


@pytest.mark.parametrize(
    ("state", "key"), [("ready", SAME), ("terminated", OTHER), ("failed", OTHER)]
)
def test_another_key_of_the_account_will_do_and_another_account_without_machines(
    people: People, world: World, cloud: Backend, state: str, key: str
) -> None:
    machine(world, cloud, state=state)

    assert changed(people, cloud, key=key).problems == []
    cloud.refresh_from_db()
    assert rows.stored(cloud)["key"] == key


def test_one_that_has_just_gone_does_not_stand_for_all(
    people: People, world: World, cloud: Backend
) -> None:
    machine(world, cloud, "i-1")
    machine(world, cloud, "i-2")
    del world.machines["i-2"]

    assert changed(people, cloud, key=SAME).problems == []


def test_other_credentials_are_not_taken_unseen_while_machines_live(
    people: People, world: World, cloud: Backend
) -> None:
    machine(world, cloud)

    with pytest.raises(Conflict, match="only after a check") as refused:
        changed(people, cloud, check=False, key=SAME)
    assert SAME not in refused.value.message
    changed(people, cloud, check=False, size=2)

    cloud.refresh_from_db()
    assert rows.stored(cloud) == {"key": FIRST, "size": 2}


def test_one_that_no_key_fits_is_left_out_and_can_be_connected_again(
    people: People, world: World, cloud: Backend
) -> None:
    """Beside it the others go on, and whoever looks sees pages instead of errors."""
    factories.backend(people.project, kind="cloud", name="second", config={"key": FIRST})
    Backend.objects.filter(pk=cloud.pk).update(config=UNREADABLE)
    cloud.refresh_from_db()

    found = offers.find(project=people.project, spec=asked_for())
    assert {each.backend for each in found.matches.offers} == {"second"}
    assert "connect it again" in found.unavailable["cloud"]
    client = Client()
    client.force_login(people.alice)
    pages = ["", "cloud/", "cloud/config/"]
    got = {page: client.get(f"/projects/main/backends/{page}").status_code for page in pages}
    assert got == dict.fromkeys(pages, 200)
    headers = factories.token(people.alice).headers
    for path in ("backends", "backends/cloud"):
        assert Client(headers=headers).get(f"/api/projects/main/{path}").status_code == 200
    asked = requests.check(access=Access(user=people.alice), backend=cloud)
    checks.run(ids=[asked.pk])
    asked.refresh_from_db()
    assert (asked.state, "no key of" in asked.problems[0]["message"]) == ("problems", True)

    changed(people, cloud, key=SAME)

    assert rows.stored(queries.named(people.project, "cloud"))["key"] == SAME


def test_a_check_that_cannot_be_read_stops_no_other(
    people: People, world: World, cloud: Backend
) -> None:
    access = Access(user=people.alice)
    bad = requests.reconnect(access=access, backend=cloud, config={"size": 2})
    assert isinstance(bad, Check)
    good = requests.check(access=access, backend=cloud)
    Check.objects.filter(pk=bad.pk).update(config=UNREADABLE)

    checks.run(ids=[bad.pk, good.pk])

    states = dict(Check.objects.values_list("pk", "state"))
    assert states == {bad.pk: "problems", good.pk: "passed"}


@pytest.mark.parametrize("how", ["check", "connect", "connect unchecked"])
def test_what_may_be_mended_is_blocked_no_longer_once_it_works(
    world: World, cloud: Backend, people: People, how: str
) -> None:
    (offer,) = offers.find(project=people.project, spec=asked_for()).matches.offers
    kinds = (base.ErrorKind.CREDENTIALS, base.ErrorKind.QUOTA, base.ErrorKind.CAPACITY)
    for kind in kinds:
        scope = base.Scope.BACKEND if kind == "credentials" else base.Scope.FAMILY_REGION
        scope = base.Scope.OFFER_REGION if kind == "capacity" else scope
        error = base.ProviderError("no", kind=kind, scope=scope)
        blocked.block(backend=cloud, offer=offer, error=error, at=timezone.now())
    access = Access(user=people.alice)

    if how == "check":
        made: Check | Backend = requests.check(access=access, backend=cloud)
    else:
        made = requests.reconnect(
            access=access, backend=cloud, config={"key": SAME}, check=how == "connect"
        )
    if isinstance(made, Check):
        assert BlockedOffer.objects.count() == len(kinds)
        checks.run(ids=[made.pk])

    assert [row.kind for row in BlockedOffer.objects.all()] == ["capacity"]
