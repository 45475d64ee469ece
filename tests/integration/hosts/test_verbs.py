"""Adding hosts and accepting keys: who may, and what is refused before anybody is called."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project
from apps.hosts.models import Host
from apps.instances.boot import keys
from tests import factories

pytestmark = pytest.mark.django_db

OLD, NEW = keys.new().public, keys.new().public
NEW_MARK = "SHA256:new"


@pytest.fixture
def project() -> Project:
    return factories.project("main", admin=factories.user("alice"))


@pytest.fixture
def headers(project: Project) -> dict[str, str]:
    return factories.token(project.members.get()).headers


def post(client: Client, headers: dict[str, str], path: str = "", **body: str) -> tuple[int, Any]:
    url = f"/api/projects/main/hosts{path}"
    answer = client.post(url, body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def changed(project: Project, **more: Any) -> Host:
    """A host that showed another key than is known."""
    fields: dict[str, Any] = {
        "name": "desk", "user": "ann", "address": "192.0.2.7", "state": "failed",
        "known_hosts": f"host {OLD}\n", "fingerprint": "SHA256:old", "error": "another key",
        "offered_known_hosts": f"host {NEW}\n", "offered_fingerprint": NEW_MARK,
    }  # fmt: skip
    return Host.objects.create(project=project, **{**fields, **more})


@pytest.mark.parametrize(
    "body, words",
    [
        ({"address": "a@127.0.0.1"}, "this server itself"),
        ({"address": "a@[::ffff:127.0.0.1]"}, "this server itself"),
        ({"address": "a@169.254.169.254"}, "metadata"),
        ({"address": "a@[fe80::1]"}, "link-local"),
        ({"address": "a@10.0.0.9"}, "DSTACK_HOST_NETWORKS"),
        ({"address": "a@10.0.0.9", "jump": "a@127.0.0.1"}, "this server itself"),
        ({"address": "a@169.254.169.254", "jump": "a@192.0.2.1"}, "metadata"),
    ],
)
def test_addresses_that_are_never_called_are_refused_at_once(
    client: Client, headers: dict[str, str], settings: Any, body: dict[str, str], words: str
) -> None:
    settings.DSTACK_HOST_NETWORKS = ()

    status, said = post(client, headers, **body)

    assert status == 422
    assert words in said["error"]["message"]
    assert not Host.objects.exists()


def test_a_new_host_key_is_accepted_by_its_fingerprint(
    client: Client, headers: dict[str, str], project: Project
) -> None:
    host = changed(project)

    status, said = post(client, headers, "/desk/accept-key", fingerprint="SHA256:other")
    assert status == 409
    assert NEW_MARK in said["error"]["message"]

    status, said = post(client, headers, "/desk/accept-key", fingerprint=NEW_MARK)
    assert (status, said["state"], said["offered_fingerprint"]) == (202, "checking", None)
    host.refresh_from_db()
    assert host.known_hosts == f"host {NEW}\n"
    assert host.fingerprint.startswith("SHA256:") and host.fingerprint != NEW_MARK

    status, _ = post(client, headers, "/desk/accept-key", fingerprint=NEW_MARK)
    assert status == 409


def test_a_check_forgets_a_key_that_nobody_accepted(
    client: Client, headers: dict[str, str], project: Project
) -> None:
    changed(project)

    status, said = post(client, headers, address="ann@192.0.2.7")

    assert (status, said["state"], said["offered_fingerprint"]) == (202, "checking", None)
    assert Host.objects.get().known_hosts == f"host {OLD}\n"


def test_the_page_accepts_what_it_showed(client: Client, project: Project) -> None:
    changed(project)
    client.force_login(project.members.get())
    page = "/projects/main/hosts/desk/"
    assert NEW_MARK in client.get(page).content.decode()

    client.post(f"{page}accept-key/", {"fingerprint": NEW_MARK})

    assert Host.objects.get().state == "checking"


@pytest.mark.parametrize(
    ("path", "body"), [("check", {}), ("accept-key", {"fingerprint": NEW_MARK})]
)
def test_a_page_that_was_open_when_its_host_was_removed_says_so(
    client: Client, project: Project, path: str, body: dict[str, str]
) -> None:
    changed(project)
    Host.objects.update(state="removed")
    client.force_login(project.members.get())

    answer = client.post(f"/projects/main/hosts/desk/{path}/", body, follow=True)

    assert "Host desk was removed: add it again." in answer.content.decode()
