"""Offers as API and page list them: what is connected, and what other clouds would rent."""

from __future__ import annotations

import html
import json
import re
from datetime import date
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.backends.registry import PROVIDERS
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.people import People, signed_in

pytestmark = pytest.mark.usefixtures("loaded")


@pytest.fixture(autouse=True)
def host(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that has one instance without a GPU."""
    monkeypatch.setattr(Cloud, "world", World())
    monkeypatch.setitem(PROVIDERS, Cloud.kind, Cloud)
    factories.backend(people.project, kind=Cloud.kind)


def answered(people: People, query: dict[str, Any]) -> tuple[int, Any]:
    client = Client(headers=factories.token(people.bob).headers)
    answer = client.get("/api/projects/main/offers", query)
    return answer.status_code, json.loads(answer.content)


def asked(people: People, **query: Any) -> dict[str, Any]:
    status, found = answered(people, query)
    assert status == 200, found
    return dict(found)


def test_lists_what_is_connected_unless_asked_for_all(people: People) -> None:
    found = asked(people)
    assert {each["connected"] for each in found["items"]} == {True}
    assert {each["priced_at"] for each in found["items"]} == {None}
    assert found["note"] is None


def test_lists_clouds_that_are_not_connected_with_the_day_of_their_prices(people: People) -> None:
    found = asked(people, all=1, gpu="A100:80GB", backend="azure", region="westus3")
    first = found["items"][0]
    assert first | {"gpu": None} == {
        "backend": "azure",
        "region": "westus3",
        "instance": "Standard_NC24ads_A100_v4",
        "resources": "24xCPU, 220GB, 1xA100 (80GB), 100GB (disk)",
        "gpu": None,
        "spot": False,
        "price_usd_per_hour": 3.673,
        "availability": "unknown",
        "connected": False,
        "priced_at": "2026-06-18",
        "source": "Azure's retail prices, as Karpenter has them",
        "is_stale": True,
        "blocked": None,
    }
    assert found["note"].startswith(
        "Connect AWS, Azure, GCP or TensorDock on the page Backends, or with"
    )
    assert date.fromisoformat(first["priced_at"])


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ({"spot": "true"}, {True}),
        ({"spot": "1"}, {True}),
        ({"spot": "false"}, {False}),
        ({"spot_policy": "spot"}, {True}),
        ({"spot_policy": "auto", "spot": "true"}, {True, False}),
        ({}, {False}),
    ],
)
def test_spot_is_asked_for_in_two_ways(
    people: People, query: dict[str, str], seen: set[bool]
) -> None:
    found = asked(people, all=1, gpu="80GB", limit=500, **query)
    assert {each["spot"] for each in found["items"]} == seen


def test_pages_go_on_where_the_one_before_ended(people: People) -> None:
    every = asked(people, all=1, gpu="80GB", limit=1000)["items"]
    read, cursor = [], None
    while True:
        page = asked(people, all=1, gpu="80GB", limit=7, **({"cursor": cursor} if cursor else {}))
        read += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert read == every and len(every) == page["total_offers"] > 7
    prices = [each["price_usd_per_hour"] for each in every]
    assert prices == sorted(prices) and prices[-1] == page["max_price_usd_per_hour"]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "", "²", "9" * 30, "0" * 9 + "5", "1;--"])
def test_refuses_a_cursor_that_no_answer_gave(people: People, cursor: str) -> None:
    status, found = answered(people, {"cursor": cursor})
    assert status == 422
    assert "next_cursor" in found["error"]["message"]


def test_says_what_would_fit_elsewhere_where_nothing_does(people: People) -> None:
    found = asked(people, gpu="A100:80GB:1")
    assert found["items"] == [] and found["note"].startswith("In clouds that are not connected")
    page = signed_in(people.bob).get(reverse("offers:list", args=["main"]), {"gpu": "A100:80GB:1"})
    shown = page.content.decode()
    assert "In clouds that are not connected" in shown and "from $3.673/h (Azure, " in shown
    assert "?gpu=A100%3A80GB%3A1&amp;all=1" in shown


def test_the_page_marks_what_is_not_connected(people: People) -> None:
    page = signed_in(people.bob).get(
        reverse("offers:list", args=["main"]), {"gpu": "H200:8", "all": "1"}
    )
    shown = page.content.decode()
    assert "not connected" in shown and "p5en.48xlarge" in shown and "2026-07-20" in shown
    told = (
        "Connect AWS, Azure, GCP or TensorDock on the page Backends, or with <code>dstack backend "
    )
    assert told in html.unescape(shown)


def test_counts_why_nothing_fits_anywhere(people: People) -> None:
    found = asked(people, all=1, gpu="RTX5090")
    assert found["total_offers"] == 0 and found["note"] is None
    assert found["why_none"].startswith("No offer fits, connected or not. ")
    assert "resources.gpu: big has no GPU (1 offer)" in found["why_none"]
    assert re.search(r"resources\.gpu: has no GPU \([0-9,]+ offers\)", found["why_none"])


def test_a_cloud_that_is_connected_is_asked_itself(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "gcp", Cloud)
    factories.backend(people.project, kind="gcp")
    assert asked(people, all=1, region="us-central1")["items"] == []
    assert asked(people, all=1, region="us-east-1")["items"] != []


@pytest.mark.parametrize(("query", "all_clouds"), [("1", True), ("0", False), ("", False)])
def test_the_page_reads_all_as_the_api_does(people: People, query: str, all_clouds: bool) -> None:
    page = signed_in(people.bob).get(reverse("offers:list", args=["main"]), {"all": query})
    assert ("not connected</span>" in page.content.decode()) == all_clouds
