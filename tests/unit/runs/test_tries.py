from __future__ import annotations

from dataclasses import replace

import pytest

from apps.backends.base import Hardware, Offer
from apps.runs import tries
from apps.runs.tries import Try

BIG = Offer("aws", "us", "big", Hardware(8, 32768, 102400), price_usd_per_hour=1.0)
OFFERS = [
    BIG,
    replace(BIG, spot=True),
    replace(BIG, region="eu"),
    replace(BIG, instance="small"),
    replace(BIG, backend="gcp"),
]
FULL = tries.of(BIG, "no machine is free")


@pytest.mark.parametrize(
    ("tried", "left"),
    [
        ([], OFFERS),
        ([FULL], OFFERS[1:]),
        ([replace(FULL, spot=True), replace(FULL, region="eu")], [OFFERS[0], *OFFERS[3:]]),
        ([replace(FULL, whole=True)], [OFFERS[4]]),
    ],
)
def test_leaves_what_was_not_tried_in_its_order(tried: list[Try], left: list[Offer]) -> None:
    assert tries.untried(OFFERS, tried) == left


def test_says_a_sentence_for_each() -> None:
    spot = replace(FULL, spot=True, why="Your quota is 0.")

    assert tries.told([FULL, spot], {"gcp": "no answer"}) == (
        "No offer could be had. aws us big: no machine is free. "
        "aws us big (spot): Your quota is 0. gcp: no answer."
    )


def test_says_no_more_than_anybody_reads() -> None:
    assert tries.told([FULL] * 12, {}).endswith("aws us big: no machine is free. And 2 more.")


def test_keeps_what_it_was() -> None:
    assert tries.read([FULL.to_json()]) == [FULL]
