"""What becomes of hosts that are removed: by a person, with their project, and long after."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core import crypto
from apps.core.ids import new_token, token_hash
from apps.hosts import keys, retention, services
from apps.hosts.models import Host, ProjectKey
from apps.hosts.work import steps
from apps.instances.boot import former
from apps.instances.models import FormerAgent, Instance
from tests import factories

pytestmark = pytest.mark.django_db

# An address that is refused before anybody is called.
AWAY = "10.0.0.9"
REPORT = {"boot_id": "b", "workloads": []}


@pytest.fixture(autouse=True)
def calls_nobody(settings: Any) -> None:
    settings.DSTACK_HOST_NETWORKS = ()


@pytest.fixture
def project() -> Project:
    return factories.project("main", admin=factories.user("alice"))


@pytest.fixture
def host(project: Project) -> Host:
    enrolment = new_token("e")
    instance = factories.instance(
        project,
        name="desk",
        backend=factories.backend(project, kind="ssh"),
        backend_kind="ssh",
        shared=True,
        enrolment_hash=token_hash(enrolment),
    )
    return Host.objects.create(
        project=project, instance=instance, name="desk", user="ann", address=AWAY, state="active",
        known_hosts="host ssh-ed25519 AAAA\n", facts={"python": "/usr/bin/python3"},
    )  # fmt: skip


def report(client: Client, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    url = "/api/agent/report"
    return client.post(url, REPORT, content_type="application/json", headers=headers).status_code


def removed(client: Client, project: Project) -> str:
    """Remove the host, which is away; return what its page says."""
    client.force_login(project.members.get())
    client.post("/projects/main/hosts/desk/remove/")
    steps.advance(ids=[Host.objects.get().pk], at=timezone.now())
    return client.get("/projects/main/hosts/desk/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_agent_of_a_host_that_was_away_is_told_to_go(
    client: Client, project: Project, host: Host
) -> None:
    assert host.instance is not None
    token = crypto.decrypt(host.instance.token)
    assert report(client, token) == 200

    page = removed(client, project)

    assert "its agent is still there, with what it runs" in page
    assert "told to take itself off" not in page.replace("it is told to end that and to", "")
    assert Host.objects.get().state == "removed"
    assert [report(client, token) for _ in range(2)] == [410, 410]
    assert (
        "and was told to take itself off"
        in client.get("/projects/main/hosts/desk/").content.decode()
    )
    assert report(client, new_token("a")) == 401


@pytest.mark.django_db(transaction=True)
def test_an_agent_that_never_enrolled_is_told_too(
    client: Client, project: Project, host: Host
) -> None:
    enrolment = new_token("e")
    Instance.objects.update(enrolment_hash=token_hash(enrolment), state="booting")
    removed(client, project)

    asked = {"enrolment": enrolment, "token_sha256": "0" * 64}
    answer = client.post("/api/agent/enrol", asked, content_type="application/json")

    assert answer.status_code == 410
    assert FormerAgent.objects.get().told_at is not None


def test_a_project_takes_its_hosts_along(client: Client, project: Project, host: Host) -> None:
    keys.of_project(project)
    token = crypto.decrypt(Instance.objects.get().token)
    client.force_login(project.members.get())

    client.delete("/api/projects/main", headers=factories.token(project.members.get()).headers)

    host.refresh_from_db()
    assert (host.state, Instance.objects.get().state) == ("removing", "terminated")
    retention.prune(at=timezone.now())
    # It is still needed, to be let in where the agent is taken off.
    assert ProjectKey.objects.exists()
    steps.advance(ids=[host.pk], at=timezone.now())
    host.refresh_from_db()
    assert host.state == "removed"
    assert FormerAgent.objects.get().token_hash == token_hash(token)
    retention.prune(at=timezone.now())
    assert not ProjectKey.objects.exists()


def test_forgets_what_was_removed_long_ago(project: Project, host: Host) -> None:
    at = timezone.now()
    access = Access(project.members.get())
    services.remove(access=access, host=host, at=at)
    steps.advance(ids=[host.pk], at=at)

    assert retention.prune(at=at) == former.prune(at=at) == 0
    assert retention.prune(at=at + timedelta(days=400)) == 1
    assert former.prune(at=at + timedelta(days=400)) == 0
    assert former.prune(at=at + timedelta(days=4 * 365)) == 1
