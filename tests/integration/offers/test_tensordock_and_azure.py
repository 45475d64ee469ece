"""The table of offers that people know, from an account of TensorDock and one of Azure."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.offers import queries as offers
from apps.offers.catalog import refresh, tasks
from apps.offers.lists.wishes import asked_for
from apps.offers.models import CatalogOffer, CatalogSource
from tests.fakes.rented import Rented
from tests.fakes.tensordock_api import KEY, Api
from tests.people import People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]
SHOWN = 3


class Azure(Rented):
    """Azure's rows of the catalog, without a call of Azure's."""

    kind = "azure"
    families = {}


@pytest.fixture
def connected(people: People, tensordock: Api, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setitem(PROVIDERS, "azure", Azure)
    monkeypatch.setattr(tasks, "_failed_at", {})
    monkeypatch.setattr(tasks, "_regions", {})
    regions = crypto.encrypt({"regions": ["westus2", "westus3"]})
    Backend.objects.create(project=people.project, kind="azure", name="azure", config=regions)
    config = crypto.encrypt({"creds": {"type": "api_key", "api_key": KEY}})
    return Backend.objects.create(
        project=people.project, kind="tensordock", name="tensordock", config=config
    )


def test_the_table_of_offers_is_the_one_that_people_know(
    people: People, connected: Backend
) -> None:
    at = timezone.now()
    refresh.refresh(connected, "unitedkingdom", spot=False, at=at)

    spec = asked_for(gpu="80GB")
    found = offers.find(project=people.project, spec=spec, at=at)

    assert [
        (
            each.backend,
            each.region,
            str(each.hardware).removesuffix(", 100GB (disk)"),
            each.spot,
            f"${each.price_usd_per_hour:g}",
        )
        for each in found.matches.offers[:SHOWN]
    ] == [
        ("tensordock", "unitedkingdom", "10xCPU, 80GB, 1xA100 (80GB)", False, "$1.595"),
        ("azure", "westus2", "24xCPU, 220GB, 1xA100 (80GB)", False, "$3.673"),
        ("azure", "westus3", "24xCPU, 220GB, 1xA100 (80GB)", False, "$3.673"),
    ]


def test_beat_asks_tensordock_and_the_source_says_so(connected: Backend) -> None:
    at = timezone.now()
    for minute in range(9):
        tasks.refresh_oldest(at=at + timedelta(minutes=minute))

    source = CatalogSource.objects.get(kind="tensordock")
    assert source.words == "TensorDock's own price list"
    # On the day of the minute in which it was its turn.
    assert at.date() <= source.priced_on <= (at + timedelta(minutes=8)).date()
    [row] = CatalogOffer.objects.filter(kind="tensordock")
    assert (row.region, row.zones, row.source) == ("unitedkingdom", ["manchester"], source)
