"""What Google rents in a region, and for how much: the sum of what its parts cost."""

from __future__ import annotations

import pytest

from apps.backends import base
from apps.backends.base import ErrorKind, ProviderError
from tests.fakes import gcp_prices
from tests.fakes.gcp_world import World
from tests.integration.backends.gcp.machines import NORTH, A, B, C, F, provider


@pytest.fixture
def world(gcp: World) -> World:
    gcp.faults.skus = gcp_prices.some()
    return gcp


def offers(region: str = NORTH, *, spot: bool = False) -> dict[str, base.Offer]:
    return {offer.instance: offer for offer in provider().catalog(region, spot=spot)}


def test_a_machine_costs_what_its_parts_cost(world: World) -> None:
    found = offers()

    assert {name: offer.price_usd_per_hour for name, offer in found.items()} == {
        "e2-standard-2": pytest.approx(2 * 0.02 + 8 * 0.003),
        "n1-standard-4": pytest.approx(4 * 0.03 + 15 * 0.004),
        "n1-standard-4-t4x1": pytest.approx(4 * 0.03 + 15 * 0.004 + 0.35),
        "n1-standard-4-t4x2": pytest.approx(4 * 0.03 + 15 * 0.004 + 2 * 0.35),
        "n1-standard-4-t4x4": pytest.approx(4 * 0.03 + 15 * 0.004 + 4 * 0.35),
        "t2a-standard-2": pytest.approx(2 * 0.01 + 8 * 0.002),
        "g2-standard-4": pytest.approx(4 * 0.025 + 16 * 0.003 + 0.56),
        "a2-highgpu-1g": pytest.approx(12 * 0.03 + 85 * 0.004 + 2.5),
        "a3-highgpu-8g": pytest.approx(208 * 0.03 + 1872 * 0.002 + 8 * 9.8 + 16 * 375 * 0.08 / 730),
    }


def test_says_what_each_has_and_where(world: World) -> None:
    found = offers()

    assert found["e2-standard-2"].zones == (A, B, C, F)
    assert found["g2-standard-4"].zones == (A, B)
    assert found["n1-standard-4-t4x2"].zones == (A, B)
    a100 = found["a2-highgpu-1g"].hardware.gpu
    assert a100 is not None and (a100.name, a100.memory_mib, a100.count) == ("A100", 40960, 1)
    h100 = found["a3-highgpu-8g"].hardware.gpu
    assert h100 is not None and (h100.name, h100.memory_mib, h100.count) == ("H100", 81920, 8)
    assert found["t2a-standard-2"].hardware.arch == "arm"


def test_spot_has_prices_of_its_own(world: World) -> None:
    found = offers(spot=True)

    assert set(found) == {"e2-standard-2"}
    assert found["e2-standard-2"].spot
    assert found["e2-standard-2"].price_usd_per_hour == pytest.approx(2 * 0.006 + 8 * 0.001)


def test_a_region_without_prices_has_no_offers(world: World) -> None:
    assert offers("europe-west4") == {}


def test_the_list_is_asked_for_once_for_all_regions(world: World) -> None:
    for region in (NORTH, "us-east1"):
        for spot in (False, True):
            offers(region, spot=spot)

    pages = -(-len(world.faults.skus) // 10)
    assert world.faults.asked["cloudbilling.services.skus.list"] == pages


def test_where_prices_may_not_be_asked_that_is_said(world: World) -> None:
    world.faults.refused["cloudbilling.services.skus.list"] = "SERVICE_DISABLED"

    with pytest.raises(ProviderError) as refused:
        offers()

    assert refused.value.kind == ErrorKind.SETUP
    assert "SERVICE_DISABLED" in str(refused.value)
