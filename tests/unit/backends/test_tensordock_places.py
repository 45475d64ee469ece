"""What is read from TensorDock's locations, in every shape in which they are described."""

from __future__ import annotations

from typing import Any

import pytest

from apps.backends.base import ProviderError
from apps.backends.providers.tensordock import client, places
from tests.fakes.tensordock_api import gpu, location


def offers(*locations: dict[str, Any], region: str = "unitedkingdom") -> list[Any]:
    return list(places.offers(places.places(locations), region))


def test_the_least_size_of_a_gpu_is_the_one_that_people_know() -> None:
    [offer] = offers(location("Manchester", "United Kingdom", gpu()))

    assert str(offer.hardware) == "10xCPU, 80GB, 1xA100 (80GB), 100GB (disk)"
    assert offer.instance == "a100-pcie-80gb-1x-10cpu-80gb"
    assert (offer.price_usd_per_hour, offer.spot) == (1.595, False)
    assert offer.zones == ("unitedkingdom-manchester",)


def test_larger_sizes_are_offered_as_far_as_the_location_has_them() -> None:
    roomy = {"max_vcpus": 48, "max_ram_gb": 320}
    found = offers(location("Manchester", "United Kingdom", gpu(max_count=2, resources=roomy)))

    sizes = [(o.hardware.gpu.count, o.hardware.cpus, o.hardware.memory_mib // 1024) for o in found]
    assert sizes == [(1, 10, 80), (1, 20, 160), (1, 40, 320), (2, 20, 160), (2, 40, 320)]


def test_of_several_cities_the_cheapest_gives_the_price() -> None:
    found = offers(
        location("Leeds", "United Kingdom", gpu(usd=2.0), number=1),
        location("Bath", "United Kingdom", gpu(), number=2),
        location("York", "United Kingdom", gpu(), number=3),
    )

    assert [(o.price_usd_per_hour, o.zones) for o in found] == [
        (1.595, ("unitedkingdom-bath", "unitedkingdom-york"))
    ]


@pytest.mark.parametrize(
    ("v0_name", "card", "memory_gb"),
    [
        ("a100-pcie-80gb", "A100", 80),
        ("geforcertx4090-pcie-24gb", "RTX4090", 24),
        ("rtxa6000-pcie-48gb", "A6000", 48),
        ("h100-sxm5-80gb", "H100", 80),
        ("v100-sxm2-16gb", "V100", 16),
        ("l40s", "L40S", 48),
    ],
)
def test_names_of_gpus_are_those_of_the_catalog(v0_name: str, card: str, memory_gb: int) -> None:
    row = {**gpu(v0_name), "displayName": None}
    [place] = places.places([location("Leeds", "United Kingdom", row)])

    assert (place.gpu_name, place.gpu_memory_gb) == (card, memory_gb)


@pytest.mark.parametrize(
    "change",
    [
        {"v0Name": None},
        {"v0Name": "../../etc"},
        {"v0Name": ["a"]},
        {"max_count": 0},
        {"max_count": "many"},
        {"price_per_hr": None},
        {"price_per_hr": -1},
        {"price_per_hr": "nan"},
        {"resources": None},
        {"resources": {"max_vcpus": "1e999", "max_ram_gb": True}},
        {"pricing": 7, "resources": []},
    ],
    ids=str,
)
def test_what_cannot_be_understood_is_not_offered(change: dict[str, Any]) -> None:
    assert offers(location("Leeds", "United Kingdom", {**gpu(), **change})) == []


@pytest.mark.parametrize("gpus", [None, 7, "a", [None, 7], {"x": 7}])
def test_a_location_without_gpus_offers_none(gpus: Any) -> None:
    assert offers({**location("Leeds", "United Kingdom"), "gpus": gpus}) == []


def test_gpus_may_be_a_mapping_and_prices_text() -> None:
    row = {**gpu(), "price_per_hr": "1.375"}
    row.pop("v0Name")
    where = {**location("Leeds", "United Kingdom"), "gpus": {"a100-pcie-80gb": row}}

    assert [offer.price_usd_per_hour for offer in offers(where)] == [1.595]


@pytest.mark.parametrize(
    "content",
    [
        {"data": {"instances": [{"id": "a"}]}},
        {"instances": [{"id": "a"}]},
        {"data": [{"id": "a"}]},
        [{"id": "a"}],
        {"data": {"instances": [{"id": "a"}, None, 7]}},
    ],
    ids=str,
)
def test_a_list_is_found_in_each_of_its_shapes(content: Any) -> None:
    assert client.listed(content, "instances") == [{"id": "a"}]


@pytest.mark.parametrize("content", [None, {}, {"data": {}}, {"data": {"instances": None}}, "x"])
def test_no_list_is_not_an_empty_one(content: Any) -> None:
    with pytest.raises(ProviderError):
        client.listed(content, "instances")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"error": "No"}, "No"),
        ({"errors": [{"detail": "No"}, {"title": "Never"}]}, "No; Never"),
        ({"success": False, "message": "No"}, "No"),
        ({"data": {"type": "error", "attributes": {"message": "No"}}}, "No"),
        ({"error": {"message": "No"}}, "No"),
        ({"error": 7}, "an error"),
        ({"error": None, "data": {"id": "a"}}, None),
        ({"data": {"type": "success"}}, None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_a_refusal_is_seen_whatever_its_shape(content: Any, said: str | None) -> None:
    assert client.error_in(content) == said
