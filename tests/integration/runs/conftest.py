from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.registry import PROVIDERS
from apps.gateways.models import Gateway
from dstack_web.celery import app
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.people import People


@pytest.fixture
def eager(redis_url: str, settings: Any) -> Iterator[None]:
    """Reactions run at once, in this process: the whole flow without a worker."""
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = True
    yield
    app.conf.task_always_eager = False


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Project:
    found = factories.project("main", admin=factories.user("alice"))
    (tmp_path / "isolation.json").write_text('{"level": "network"}')
    config = {"boot_path": str(tmp_path / "config.json"), "url": "http://127.0.0.1:1"}
    backends.connect(project=found, kind="local", config=config)
    return found


@pytest.fixture
def local_backend(people: People, tmp_path: Path, settings: Any) -> None:
    """This host as a backend of the project main, with a gateway; what is uploaded stays here."""
    settings.MEDIA_ROOT = tmp_path / "blobs"
    config = {"boot_path": str(tmp_path / "config.json"), "url": "http://127.0.0.1:1"}
    backends.connect(project=people.project, kind="local", config=config)
    factories.gateway(people.project)


@pytest.fixture
def gateway(project: Project) -> Gateway:
    return factories.gateway(project, name="local")


@pytest.fixture
def alice(project: Project) -> Access:
    return Access(user=project.members.get(username="alice"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    fresh = World()
    monkeypatch.setattr(Cloud, "world", fresh)
    monkeypatch.setitem(PROVIDERS, "cloud", Cloud)
    yield fresh


@pytest.fixture
def cloudy(transactional_db: None, world: World) -> Project:
    """A project that has the cloud alone."""
    found = factories.project("cloudy", admin=factories.user("alice"))
    backends.connect(project=found, kind="cloud", config={})
    return found


@pytest.fixture
def owner(cloudy: Project) -> Access:
    return Access(user=cloudy.members.get(username="alice"))
