"""Offers of connected clouds: what blocks and wishes do to them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.backends.base import ErrorKind, ProviderError
from apps.backends.models import Backend
from apps.offers import blocked, blocks, queries
from apps.offers.lists.wishes import asked_for
from apps.offers.models import CatalogOffer
from tests import factories
from tests.people import People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]


def test_a_block_is_over_at_its_end(people: People, two_of_aws: list[Backend]) -> None:
    at, spec = timezone.now(), asked_for(instance_types=["m5.large"], backends=["first"])
    (offer,) = queries.find(project=people.project, spec=spec).walk()
    error = ProviderError("none is free", kind=ErrorKind.CAPACITY)
    blocked.block(backend=two_of_aws[0], offer=offer, error=error, at=at)

    def total(later: timedelta) -> int:
        return queries.find(project=people.project, spec=spec, at=at + later).total

    assert (total(timedelta(minutes=2)), total(timedelta(minutes=3))) == (0, 1)


def test_a_backend_that_does_not_work_is_said_to_be_that(
    people: People, two_of_aws: list[Backend]
) -> None:
    spec = asked_for(instance_types=["m5.large"], backends=["first"])
    (offer,) = queries.find(project=people.project, spec=spec).walk()
    error = ProviderError("the key was revoked", kind=ErrorKind.CREDENTIALS)
    at = datetime(2026, 11, 29, 21, 40, tzinfo=timezone.get_current_timezone())
    blocked.block(backend=two_of_aws[0], offer=offer, error=error, at=at)
    found = queries.find(project=people.project, spec=spec, at=at)

    assert not found.total
    assert queries.why_none(found) == (
        "No offer is free now: 1 offer that fits is blocked. "
        "Backend first cannot be used: the key was revoked (until 21:42 UTC)."
    )


def test_what_is_cheaper_and_blocked_is_remarked(people: People, two_of_aws: list[Backend]) -> None:
    spec = asked_for(gpu="H100:80GB:8", backends=["first"])
    dear = CatalogOffer.objects.get(instance_type="p5.48xlarge")
    dear.pk, dear.region, dear.usd_per_hour = None, "us-west-2", 900
    dear.save()
    cheapest = next(queries.find(project=people.project, spec=spec).walk())
    error = ProviderError("AWS has none.", kind=ErrorKind.CAPACITY)
    blocked.block(backend=two_of_aws[0], offer=cheapest, error=error, at=timezone.now())
    found = queries.find(project=people.project, spec=spec)
    (said, *_) = queries.remarks(found, spec)
    assert said.startswith("1 offer that fits is blocked for now. first us-east-1 p5.48xlarge: AWS")
    assert found.matches.offers


@pytest.mark.parametrize(
    ("wish", "nearest"),
    [
        ({"cpu": "4000"}, r"at \$[\d.]+/h, which has \d{3} CPUs: change `resources.cpu`."),
        ({"memory": "100TB"}, r"which has [\d.]+GB of memory: change `resources.memory`."),
        ({"gpu": "H100:80GB:64"}, "p5.48xlarge at .*, which has 8: change `resources.gpu`."),
        (
            {"gpu": "H100:80GB:8", "max_price": 1},
            r"p5.48xlarge at \$[\d.]+/h, which costs more than \$1/h: change `max_price`.",
        ),
        ({"gpu": "H100:80GB:8", "regions": ["mars"]}, "which is not among mars: change `regions`."),
        (
            {"gpu": "H100:80GB:8", "regions": ["mars"], "max_price": 1},
            "which is not among mars and costs more than .*: change `regions` and `max_price`.",
        ),
    ],
)
def test_says_which_comes_nearest_and_what_to_change(
    people: People, two_of_aws: list[Backend], wish: dict[str, Any], nearest: str
) -> None:
    found = queries.find(project=people.project, spec=asked_for(**wish))

    assert not found.total
    assert re.search(f"The nearest is (first|second) .*{nearest}$", queries.why_none(found))


HOSTILE = [
    "'; drop table x--",
    "%",
    "_",
    ".*",
    "m5.lar_e",
    "us-east-_",
    "\\",
    "é",
    "\0",
    "x" * 5000,
    "\u202e",
    "-1",
    "1e999",
    "nan",
    "9" * 400,
    "$(id)",
    "[]",
]
KEYS = ("backend", "region", "instance_type", "gpu", "cpu", "memory", "disk", "max_price")


@pytest.mark.parametrize("key", KEYS)
def test_a_wish_means_itself_or_is_refused(
    people: People, two_of_aws: list[Backend], key: str
) -> None:
    client = Client(headers=factories.token(people.bob).headers)
    for text, path in product(HOSTILE, ("", "/groups")):
        answer = client.get(f"/api/projects/main/offers{path}", {key: text})
        found = json.loads(answer.content)
        if answer.status_code == 200:
            assert found["items"] == [], text
        else:
            # No address has a NUL.
            assert answer.status_code == (400 if text == "\0" else 422), text
            assert len(found["error"]["message"]) < 400


def test_no_block_says_anything_of_another_backend(
    people: People, two_of_aws: list[Backend]
) -> None:
    at = timezone.now()
    spec = asked_for(instance_types=["m5.large"], backends=["aws"])
    CatalogOffer.objects.filter(instance_type="m5.large").update(region="eu-west-1")
    offers = list(queries.find(project=people.project, spec=spec).walk())
    error = ProviderError("none is free", kind=ErrorKind.CAPACITY)
    blocked.block(backend=two_of_aws[0], offer=offers[0], error=error, at=at)
    found = queries.find(project=people.project, spec=spec)
    assert [each.backend for each in offers] == ["first", "second"]
    assert [each.backend for each in found.walk()] == ["second"]
    assert isinstance(found.block_of(offers[0]), blocks.Block)
