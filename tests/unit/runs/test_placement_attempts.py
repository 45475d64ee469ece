from __future__ import annotations

from dataclasses import replace

import pytest

from apps.backends.base import Gpu, Hardware, Offer
from apps.runs.control import placement_attempts
from apps.runs.control.placement_attempts import Attempt

BIG = Offer("aws", "us", "big", Hardware(8, 32768, 102400), price_usd_per_hour=1.0)
OFFERS = [
    BIG,
    replace(BIG, spot=True),
    replace(BIG, region="eu"),
    replace(BIG, instance="small"),
    replace(BIG, backend="gcp"),
]
FULL = placement_attempts.of(BIG, "no machine is free")


@pytest.mark.parametrize(
    ("tried", "left"),
    [
        ([], OFFERS),
        ([FULL], OFFERS[1:]),
        ([replace(FULL, spot=True), replace(FULL, region="eu")], [OFFERS[0], *OFFERS[3:]]),
        ([replace(FULL, whole=True)], [OFFERS[4]]),
        ([replace(FULL, instance="", whole=True)], [OFFERS[2], OFFERS[4]]),
        ([replace(FULL, instance="")], [OFFERS[2], OFFERS[4]]),
    ],
)
def test_leaves_what_was_not_tried_in_its_order(tried: list[Attempt], left: list[Offer]) -> None:
    assert list(placement_attempts.untried(OFFERS, tried)) == left


def test_says_a_sentence_for_each() -> None:
    spot = replace(FULL, spot=True, why="Your quota is 0.")
    region, out = replace(FULL, region="eu", instance=""), replace(FULL, instance="", whole=True)

    assert placement_attempts.told([FULL, spot, region, out], {"gcp": "no answer"}) == (
        "No offer could be had. aws us big: no machine is free. "
        "aws us big (spot): Your quota is 0. aws eu: no machine is free. "
        "Backend aws cannot be used in us: no machine is free. "
        "Backend gcp cannot be used: no answer."
    )


def test_says_of_many_regions_how_many_more_there_are() -> None:
    out = [replace(FULL, region=f"r{num}", instance="", whole=True) for num in range(13)]

    said = placement_attempts.told(out, {})

    assert said.count("Backend aws cannot be used in ") == 10
    assert said.endswith("in r9: no machine is free. And 3 more cannot be used.")
    assert "more cannot" not in placement_attempts.told(out[:10], {})


def test_says_no_more_than_anybody_reads() -> None:
    assert placement_attempts.told([FULL] * 12, {}).endswith(
        "aws us big: no machine is free. And 2 more."
    )


def test_keeps_what_it_was() -> None:
    assert placement_attempts.read([FULL.to_json()]) == [FULL]


BARE = Hardware(8, 65536, 102400)
HOST = Offer("local", "local", "box", BARE, price_usd_per_hour=0.0, shared=True)
A100 = replace(HOST, hardware=replace(BARE, gpu=Gpu("A100", 40960, 2, indices=(0, 1))))
T4 = replace(HOST, hardware=replace(BARE, gpu=Gpu("T4", 16384, 1, indices=(2,))))


def test_taken_gpus_of_one_kind_leave_the_other_kind() -> None:
    known = [placement_attempts.of(A100, "0 of 2 A100 GPUs are free, 1 are needed")]

    assert list(placement_attempts.untried([A100, T4], known)) == [T4]
    assert placement_attempts.read([known[0].to_json()]) == known


def test_a_machine_that_cannot_be_had_has_no_kind_to_offer() -> None:
    known = [Attempt("local", "local", "box", False, "its agent does not answer")]

    assert list(placement_attempts.untried([A100, T4], known)) == []


def test_writes_for_a_machine_without_gpus_what_earlier_versions_read() -> None:
    assert "gpu" not in placement_attempts.of(HOST, "full").to_json()
