from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from apps.accounts.models import Project
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.offers.catalog import snapshot
from apps.offers.models import CatalogSource
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.fakes.rented import Rented
from tests.people import People


@pytest.fixture(scope="module")
def loaded(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[int]:
    """Load the snapshot once for all: each test takes back what it changed itself."""
    with django_db_blocker.unblock():
        yield snapshot.load()
        CatalogSource.objects.all().delete()


@pytest.fixture
def two_of_aws(people: People, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Backend]]:
    """Two backends of one kind, the second of one region, and a fake with offers of its own."""
    monkeypatch.setattr(Cloud, "world", World(regions=("north", "south")))
    monkeypatch.setitem(PROVIDERS, "aws", Rented)
    monkeypatch.setitem(PROVIDERS, Cloud.kind, Cloud)
    factories.backend(people.project, kind=Cloud.kind)
    yield [
        connected(people.project, "first", ()),
        connected(people.project, "second", ("eu-west-1",)),
    ]


def connected(of: Project, name: str, regions: tuple[str, ...]) -> Backend:
    config = crypto.encrypt({"regions": list(regions)})
    return Backend.objects.create(project=of, kind="aws", name=name, config=config)
