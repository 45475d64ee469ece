"""Model files on machines: what agents tell, who sees it, who may clear it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project
from apps.agent import wire
from apps.instances import caches
from apps.instances.agents import reports
from apps.instances.agents.assignments import assignment
from apps.instances.models import Instance
from tests import factories
from tests.people import People, signed_in

ONE = "/api/projects/main/instances/machine"
USED = "2030-01-01T10:20:30Z"


@pytest.fixture
def machine(people: People) -> Instance:
    return factories.instance(people.project, name="machine", state="ready")


def tell(instance: Instance, *kept: wire.CacheReport) -> None:
    instance.refresh_from_db()
    report = wire.Report(boot_id="b", caches=list(kept))
    reports.take(instance=instance, report=report, at=timezone.now())
    instance.refresh_from_db()


def of(project: Project, id: str = "a", **fields: Any) -> wire.CacheReport:
    told: dict[str, Any] = {"bytes": 3 * 2**30, "used_at": USED, **fields}
    return wire.CacheReport(id=id, key=caches.key(project), **told)


def api(who: Any, method: str = "get", path: str = ONE) -> Any:
    return getattr(Client(headers=factories.token(who).headers), method)(path)


def test_what_no_database_can_store_is_stored_otherwise(people: People, machine: Instance) -> None:
    tell(machine, wire.CacheReport(id="a\0", key="\0", bytes=1, used_at="\0"))

    (found,) = machine.caches
    assert found["id"] == "a\ufffd"


def test_members_see_what_is_kept_for_their_project_alone(
    people: People, machine: Instance
) -> None:
    other = factories.project("other")
    tell(machine, of(people.project), of(other, "b"))

    (found,) = api(people.bob).json()["caches"]

    kept = {"project": "main", "bytes": 3 * 2**30, "used_at": USED, "clearing": False}
    assert found == kept
    page = signed_in(people.bob).get("/projects/main/instances/machine/").content.decode()
    assert "3.0 GB" in page and ">other<" not in page
    assert "Clear the model files?" not in page


def test_admins_of_the_server_see_all_that_share_its_disk(
    people: People, machine: Instance
) -> None:
    tell(machine, of(people.project, bytes=None), of(factories.project("other"), "b"))

    assert [each["project"] for each in api(people.root).json()["caches"]] == ["other", "main"]


def test_an_admin_clears_it_and_the_agent_is_told_until_it_is_gone(
    people: People, machine: Instance
) -> None:
    other = factories.project("other")
    tell(machine, of(people.project), of(other, "b"))
    before = Instance.objects.get(pk=machine.pk).revision

    answers = [api(people.alice, "delete", f"{ONE}/cache") for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert [each["clearing"] for each in answers[1].json()["caches"]] == [True]
    assert assignment(instance=machine).caches.clear == ["a"]
    assert Instance.objects.get(pk=machine.pk).revision > before
    tell(machine, of(people.project), of(other, "b"))
    assert assignment(instance=machine).caches.clear == ["a"]
    tell(machine, of(other, "b"))
    assert assignment(instance=machine).caches.clear == []


def test_what_a_replica_may_be_using_is_not_cleared(people: People, machine: Instance) -> None:
    tell(machine, of(people.project))
    spec = {"project": "main", "run_name": "hello", "cache": caches.key(people.project)}
    factories.workload(machine, spec=spec)

    answer = api(people.alice, "delete", f"{ONE}/cache")

    assert answer.status_code == 409
    assert answer.json()["error"]["message"] == (
        "1 replica of project main on machine may be using the model files: stop what runs there, "
        "then clear them."
    )


def test_where_nothing_is_kept_there_is_nothing_to_clear(people: People, machine: Instance) -> None:
    tell(machine, of(factories.project("other")))

    answer = api(people.alice, "delete", f"{ONE}/cache")

    assert answer.status_code == 404
    assert "machine keeps no model files of project main" in answer.content.decode()


def test_the_page_clears_it_too(people: People, machine: Instance) -> None:
    tell(machine, of(people.project))
    page = "/projects/main/instances/machine/"

    answer = signed_in(people.alice).post(f"{page}cache/", follow=True)

    assert "model files of main on machine are being removed" in answer.content.decode()
    assert Instance.objects.get(pk=machine.pk).caches_to_clear == ["a"]


@pytest.mark.parametrize(
    "told",
    [
        {"key": "99999999999999999999"},
        {"key": "<script>"},
        {"key": "٣"},
        {"bytes": -5},
        {"bytes": 10**30},
        {"used_at": "yesterday"},
        {"used_at": "2030-13-41T99:00:00Z"},
    ],
)
def test_what_no_agent_of_ours_would_say_does_no_harm(
    people: People, machine: Instance, told: dict[str, Any]
) -> None:
    said = {"id": "x" * 900, "key": caches.key(people.project), "bytes": 1, "used_at": USED, **told}
    tell(machine, wire.from_json(wire.CacheReport, said))

    assert api(people.root).status_code == 200
    page = signed_in(people.root).get("/projects/main/instances/machine/")
    assert page.status_code == 200
    assert "<script>" not in page.content.decode().partition("Model files kept for projects")[2]


@pytest.mark.parametrize(
    ("shared", "keep", "gb", "rules"),
    [
        (True, 3600, 0, wire.CacheRules(3600.0, is_bounded=True, limit_mib=None)),
        (True, 3600, 2, wire.CacheRules(3600.0, is_bounded=True, limit_mib=2048)),
        (False, 60, 2, wire.CacheRules(60.0, is_bounded=False, limit_mib=2048)),
        (False, 0, 0, wire.CacheRules(0.0, is_bounded=False)),
    ],
)
def test_tells_agents_what_the_settings_say(
    people: People, settings: Any, shared: bool, keep: int, gb: int, rules: Any
) -> None:
    settings.DSTACK_CACHE_KEEP_SECONDS, settings.DSTACK_CACHE_DISK_GB = keep, gb
    instance = factories.instance(people.project, shared=shared)

    assert caches.rules(instance) == rules
    assert json.dumps(wire.to_json(assignment(instance=instance).caches))
    assert caches.wanted(people.project) == (caches.key(people.project) if keep else "")
