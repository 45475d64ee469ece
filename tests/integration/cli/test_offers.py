from __future__ import annotations

import json

from tests.fakes.api_state import FakeApi, local_offer
from tests.integration.cli.conftest import Cli


def test_lists_offers(cli: Cli, api: FakeApi) -> None:
    api.offers = [local_offer(), local_offer(backend="aws", availability="no quota")]

    done = cli("offer", "--gpu", "A100:2", "-b", "aws", "-b", "gcp", "--max-price", "2")

    assert done.last_line == " Shown 2 of 2 offers, $0 max"
    assert done.out.splitlines()[2].endswith("$0     no quota")
    assert api.seen[0].query == {
        "limit": ["50"], "gpu": ["A100:2"], "backend": ["aws", "gcp"], "max_price": ["2.0"],
    }  # fmt: skip
    assert json.loads(cli("offer", "--json").out) == api.offers


def test_warns_of_backends_that_do_not_answer(cli: Cli, api: FakeApi) -> None:
    api.silent = {"aws": "the key was revoked"}

    assert cli("offer").err == "Warning: aws does not answer: the key was revoked\n"


def test_lists_clouds_that_are_not_connected_where_all_are_asked_for(
    cli: Cli, api: FakeApi
) -> None:
    told = {"backend": "azure", "connected": False, "priced_at": "2026-06-18"}
    api.offers = [*api.offers, {**api.offers[0], **told}]
    api.offers_note = "It cannot connect them yet."

    done = cli("offer", "--all")

    assert api.seen[-1].query["all"] == ["true"]
    assert "not connected, price of 2026-06-18" in done.out
    assert done.out.endswith("It cannot connect them yet.\n")


def test_says_what_fits_elsewhere_where_nothing_does(cli: Cli, api: FakeApi) -> None:
    api.offers, api.offers_note = [], "In clouds that are not connected 3 offers fit."

    done = cli("offer", "--gpu", "A100")

    assert done.code == 1
    assert done.err.endswith(" 3 offers fit. See `dstack offer --all`.\n")


def test_groups_offers_and_shows_the_range_of_their_prices(cli: Cli, api: FakeApi) -> None:
    done = cli("offer", "--group-by", "gpu,region", "--all")

    assert api.seen[-1].query == {"group_by": ["gpu,region"], "all": ["true"]}
    assert done.out.splitlines() == [
        " GPU          REGION   OFFERS  PRICE",
        " A100:80GB:1  westus2  2       $3.673..$4.15",
        " none         eastus   1       $0.1",
    ]
