"""Offers counted by what they share."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.backends.registry import PROVIDERS
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.people import People

pytestmark = pytest.mark.usefixtures("loaded")


@pytest.fixture(autouse=True)
def host(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend with an instance in each of two regions, for $1 and $2."""
    monkeypatch.setattr(Cloud, "world", World(regions=("north", "south")))
    monkeypatch.setitem(PROVIDERS, Cloud.kind, Cloud)
    factories.backend(people.project, kind=Cloud.kind)


def asked(people: People, path: str = "/groups", **query: Any) -> tuple[int, Any]:
    client = Client(headers=factories.token(people.bob).headers)
    answer = client.get(f"/api/projects/main/offers{path}", query)
    return answer.status_code, json.loads(answer.content)


def test_counts_what_is_connected_and_its_prices(people: People) -> None:
    status, found = asked(people, group_by="backend")
    assert status == 200
    assert found["items"] == [
        {
            "gpu": None,
            "backend": "cloud",
            "region": None,
            "offers": 2,
            "min_price_usd_per_hour": 1.0,
            "max_price_usd_per_hour": 2.0,
        }
    ]


@pytest.mark.parametrize("by", ["gpu", "backend", "region", "gpu,backend,region", "region, gpu"])
def test_groups_hold_each_offer_once(people: People, by: str) -> None:
    _, found = asked(people, group_by=by, all=1, gpu="24GB..80GB:1..4")
    _, every = asked(people, path="", all=1, gpu="24GB..80GB:1..4", limit=1000)
    named = [key.strip() for key in by.split(",")]
    shared = [tuple(group[key] for key in named) for group in found["items"]]

    assert len(shared) == len(set(shared)) > 1
    assert sum(group["offers"] for group in found["items"]) == every["total_offers"]
    assert found["items"][0]["min_price_usd_per_hour"] == every["items"][0]["price_usd_per_hour"]
    highest = max(group["max_price_usd_per_hour"] for group in found["items"])
    assert highest == every["max_price_usd_per_hour"]


def test_names_a_gpu_as_a_service_asks_for_it(people: People) -> None:
    _, found = asked(people, group_by="gpu", all=1, gpu="80GB:1..8", backend="aws")
    assert [group["gpu"] for group in found["items"]] == [
        "H100:80GB:1",
        "A100:80GB:8",
        "H100:80GB:8",
    ]


@pytest.mark.parametrize("by", ["", "price", "gpu;region", "gpu,", "kind", "GPU", "x" * 5000])
def test_refuses_other_keys_and_names_those_there_are(people: People, by: str) -> None:
    status, found = asked(people, group_by=by)
    assert status == 422
    assert "use gpu, backend, region" in found["error"]["message"]
    assert len(found["error"]["message"]) < 200
