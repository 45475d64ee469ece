"""Where nothing keeps services apart, only admins of the server may deploy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.providers.local.provider import LocalProvider
from apps.core.errors import Invalid
from apps.runs import services
from apps.runs.planning.request import PlanRequest
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

REQUEST = PlanRequest("type: service\nname: hello\ncommands: [serve]\nport: 8000\n")


@pytest.fixture(params=["user", "none"])
def shared_host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose agent says that processes share its network."""
    (tmp_path / "isolation.json").write_text(json.dumps({"level": request.param}))
    monkeypatch.setattr(LocalProvider, "_facts", None)


def test_refuses_members_and_admins_of_the_project(
    project: Project, alice: Access, shared_host: None
) -> None:
    with pytest.raises(Invalid) as caught:
        services.submit(access=alice, project=project, request=REQUEST)

    assert "only admins of this server may deploy it" in caught.value.message
    assert "Ask one of them" in caught.value.message


def test_lets_admins_of_the_server_and_tells_them(
    project: Project, alice: Access, shared_host: None
) -> None:
    root = Access(user=factories.user("root", admin=True))

    found = services.plan(access=root, project=project, request=REQUEST)

    assert any("Not isolated" in warning for warning in found.warnings)


def test_lets_members_where_the_setting_opens_it(
    project: Project, alice: Access, shared_host: None, settings: Any
) -> None:
    settings.DSTACK_ALLOW_UNISOLATED = True

    assert services.submit(access=alice, project=project, request=REQUEST).name == "hello"


def test_lets_members_where_each_has_a_network_of_its_own(
    project: Project, alice: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalProvider, "_facts", None)

    found = services.plan(access=alice, project=project, request=REQUEST)

    assert not any("Not isolated" in warning for warning in found.warnings)
