"""Adding hosts: what is refused before anybody is called."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project
from apps.hosts.models import Host
from tests import factories

pytestmark = pytest.mark.django_db


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
