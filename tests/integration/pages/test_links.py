"""Names of services and gateways lead to their pages, and nowhere once these are deleted."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.hosts.models import Host
from apps.instances.models import GATEWAY, Charge
from apps.runs import services
from apps.runs.models import Run
from tests import factories
from tests.people import People, signed_in

MAIN = "/projects/main"
GONE, GONE_GATEWAY = "gone", "gateway left"
PAGES = {
    f"{MAIN}/": {GONE, GONE_GATEWAY},
    f"{MAIN}/spend/": {GONE, GONE_GATEWAY},
    f"{MAIN}/instances/": {GONE, GONE_GATEWAY},
    f"{MAIN}/instances/?all=1": {GONE, GONE_GATEWAY},
    f"{MAIN}/instances/machine/": {GONE, GONE_GATEWAY},
    f"{MAIN}/hosts/": {GONE, GONE_GATEWAY},
    f"{MAIN}/hosts/desk/": {GONE, GONE_GATEWAY},
    f"{MAIN}/services/": set[str](),
    f"{MAIN}/gateways/edge/": set[str](),
    f"{MAIN}/models/": set[str](),
    f"{MAIN}/uploads/": set[str](),
}
LINK = re.compile(r'<a[^>]* href="(/[^"#]*)')
DELETED = re.compile(r'([a-z ]*[a-z]) <span class="faint">\(deleted\)</span>')


@pytest.fixture(autouse=True)
def rows(people: People) -> None:
    """Two services and two gateways that cost, run on a machine and happened; one of each is
    deleted since, and of another service only its first run is."""
    project = people.project
    edge = factories.gateway(project, name="edge")
    kept = factories.run(project, name="kept", gateway=edge)
    again = factories.run(project, name="again", state="stopped")
    factories.run(project, name="again")
    gone = factories.run(project, name=GONE)
    for each in (kept, gone):
        services.stop(access=Access(user=people.root), run=each)
    over = Run.objects.filter(pk__in=[gone.pk, again.pk])
    over.update(state="stopped", deleted_at=timezone.now())
    machine = factories.instance(project, name="machine")
    Host.objects.create(
        project=project, name="desk", user="ann", address="a", state="active", instance=machine
    )
    for run in (kept, again, gone):
        spec = {"project": "main", "run_name": run.name}
        factories.workload(machine, name=f"{run.name}-0", spec=spec)
        charge(machine, run_id=run.pk, run_name=run.name)
    for name in ("edge", "left"):
        factories.workload(machine, name=name, spec={"project": "main"}, owner_kind=GATEWAY)
        charge(machine, run_id=UUID(int=1 + (name == "left")), run_name=f"gateway {name}")


def charge(machine: Any, **of: Any) -> None:
    Charge.objects.create(
        *(), **of, instance_id=machine.pk, project=machine.project, day=timezone.now().date(),
        price_usd_per_hour=1, microseconds=3_600_000_000,
    )  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_each_link_leads_somewhere_and_what_is_deleted_is_said_to_be(
    people: People, path: str
) -> None:
    client = signed_in(people.bob)

    page = client.get(path).content.decode()

    assert {name.strip() for name in DELETED.findall(page)} == PAGES[path]
    links = set(LINK.findall(page.partition("<main")[2]))
    assert f"{MAIN}/services/{GONE}/" not in links
    assert [link for link in links if status(client, link) >= 400] == []
    if PAGES[path]:
        wanted = {f"{MAIN}/services/kept/", f"{MAIN}/services/again/", f"{MAIN}/gateways/edge/"}
        assert wanted <= links


def status(client: Client, path: str) -> int:
    return client.get(path.replace("&amp;", "&")).status_code
