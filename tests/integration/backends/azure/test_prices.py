"""What Azure rents, as its own lists say it: the sizes of a subscription, and the public prices."""

from __future__ import annotations

from tests.fakes import azure_prices
from tests.fakes.azure_world import World
from tests.integration.backends.azure.machines import WEST, provider

PRICES = {
    "Standard_D2s_v5": 0.096,
    "Standard_D2ps_v6": 0.074,
    "Standard_B2s": 0.0416,
    "Standard_A2_v2": 0.091,
    "Standard_NC24ads_A100_v4": 3.673,
    "Standard_NC4as_T4_v3": 0.526,
    "Standard_NV36ads_A10_v5": 3.2,
    "Standard_NotOfTheList_v9": 1.0,
}


def test_the_offers_are_sizes_that_can_be_had_and_have_a_price(azure: World) -> None:
    """Not those that boot older images alone, nor parts of cards that need another driver."""
    azure.prices.rows = [azure_prices.row(size, usd, WEST) for size, usd in PRICES.items()]

    found = {each.instance: each for each in provider().catalog(WEST, spot=False)}

    assert {name: str(each.hardware) for name, each in found.items()} == {
        "Standard_B2s": "2xCPU, 4GB, 0GB (disk)",
        "Standard_D2ps_v6": "2xCPU, 8GB, 0GB (disk)",
        "Standard_D2s_v5": "2xCPU, 8GB, 0GB (disk)",
        "Standard_NC24ads_A100_v4": "24xCPU, 220GB, 1xA100 (80GB), 0GB (disk)",
        "Standard_NC4as_T4_v3": "4xCPU, 28GB, 1xT4 (16GB), 0GB (disk)",
    }
    assert found["Standard_NC24ads_A100_v4"].price_usd_per_hour == 3.673
    assert found["Standard_D2ps_v6"].hardware.arch == "arm"


def test_spot_offers_are_those_of_sizes_that_may_be_spot(azure: World) -> None:
    sizes = ("Standard_D2s_v5", "Standard_B2s")
    azure.prices.rows = [azure_prices.spot(size, 0.02, WEST) for size in sizes]

    found = list(provider().catalog(WEST, spot=True))

    assert [(each.instance, each.spot) for each in found] == [("Standard_D2s_v5", True)]
