from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from apps.offers.catalog import snapshot
from apps.offers.models import CatalogSource


@pytest.fixture(scope="module")
def loaded(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[int]:
    """Load the snapshot once for all: each test takes back what it changed itself."""
    with django_db_blocker.unblock():
        yield snapshot.load()
        CatalogSource.objects.all().delete()
