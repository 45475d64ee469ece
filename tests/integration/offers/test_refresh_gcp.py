"""Prices from Google itself, by its fake, in place of those of the snapshot."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from apps.backends.models import Backend
from apps.core import crypto
from apps.offers.catalog import refresh
from apps.offers.models import CatalogOffer
from tests.fakes import gcp_prices
from tests.fakes.gcp_keys import CONFIG
from tests.fakes.gcp_world import World
from tests.people import People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]
REGION = "us-central1"


@pytest.fixture
def backend(people: People, gcp: World) -> Backend:
    gcp.faults.skus = gcp_prices.some()
    config = crypto.encrypt(CONFIG)
    return Backend.objects.create(project=people.project, kind="gcp", name="gcp", config=config)


def test_googles_own_prices_take_the_place_of_the_snapshots(backend: Backend) -> None:
    at = timezone.now()
    before = CatalogOffer.objects.filter(kind="gcp", region=REGION, spot=True).count()

    assert refresh.refresh(backend, REGION, spot=False, at=at) == 9

    rows = CatalogOffer.objects.filter(kind="gcp", region=REGION, spot=False)
    found = {row.instance_type: row for row in rows.select_related("source")}
    assert len(found) == 9
    t4 = found["n1-standard-4-t4x2"]
    assert (t4.gpu_name, t4.gpu_count, t4.zones) == ("T4", 2, ["a", "b"])
    assert t4.usd_per_hour == Decimal("0.88")
    assert (t4.source.words, t4.source.priced_on) == ("GCP's own price list", at.date())
    assert CatalogOffer.objects.filter(kind="gcp", region=REGION, spot=True).count() == before > 0
