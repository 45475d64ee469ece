"""Where the replicas of a service come to stand: apart, where that costs little more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.backends.base import Hardware, Offer
from apps.offers import spread
from apps.offers.spread import Taken

BIG = Offer("aws", "east", "big", Hardware(8, 32768, 102400), 1.0, True, zones=("a", "b"))
NEAR = replace(BIG, instance="near", price_usd_per_hour=1.2)
WEST = replace(BIG, region="west", price_usd_per_hour=1.25, zones=())
OTHER = replace(BIG, backend="gcp", price_usd_per_hour=1.29)
FAR = replace(BIG, instance="far", price_usd_per_hour=1.3)
FIRM = replace(BIG, spot=False, price_usd_per_hour=3.0)
OFFERS = [BIG, NEAR, WEST, OTHER, FAR, FIRM]


def on(offer: Offer, zone: str = "") -> Taken:
    return Taken(offer.backend, offer.region, offer.instance, offer.spot, zone)


@pytest.mark.parametrize(
    ("taken", "first", "zones"),
    [
        pytest.param([], BIG, ("a", "b"), id="the first replica is on the cheapest"),
        pytest.param([on(BIG, "a")], BIG, ("b", "a"), id="the next in another zone"),
        pytest.param([on(BIG, "a"), on(BIG, "b")], WEST, (), id="then in another region"),
        pytest.param([on(BIG)], WEST, (), id="whose zone is not known is in each"),
        pytest.param(
            [on(BIG, "a"), on(BIG, "b"), on(WEST)], OTHER, ("a", "b"), id="then in another cloud"
        ),
        pytest.param(
            [on(BIG, "a"), on(BIG, "b"), on(WEST), on(OTHER, "a"), on(OTHER, "b")],
            NEAR,
            ("a", "b"),
            id="then of another type",
        ),
        pytest.param([on(FIRM, "a"), on(FIRM, "b")], WEST, (), id="beside those on demand"),
        pytest.param([on(FAR, "a"), on(FAR, "a")], BIG, ("a", "b"), id="in the empty zone"),
    ],
)
def test_the_emptiest_market_that_costs_little_more_comes_first(
    taken: list[Taken], first: Offer, zones: tuple[str, ...]
) -> None:
    chosen = next(spread.apart(OFFERS, taken)).offer

    assert (chosen.backend, chosen.region, chosen.instance) == (
        first.backend,
        first.region,
        first.instance,
    )
    assert set(chosen.zones) == set(zones)
    assert taken and taken[0].instance == "far" or chosen.zones[:1] == zones[:1]


@pytest.mark.parametrize("count", [0, 1, 50])
def test_what_costs_30_percent_more_keeps_its_place(count: int) -> None:
    found = [choice.offer.instance for choice in spread.apart(OFFERS, [on(BIG)] * count)]

    assert found[-2:] == ["far", "big"]
    assert len(found) == len(OFFERS)


def test_machines_that_stand_there_are_taken_in_their_order() -> None:
    host = replace(BIG, shared=True, price_usd_per_hour=0.0)
    offers = [host, replace(host, region="second"), BIG]

    assert [each.offer for each in spread.apart(offers, [on(host)])] == offers


def test_no_offer_is_no_choice() -> None:
    assert list(spread.apart([], [on(BIG)])) == []


def test_the_walk_is_read_no_further_than_needed() -> None:
    read = []

    def walk() -> object:
        for offer in OFFERS:
            read.append(offer)
            yield offer

    next(spread.apart(walk(), []))  # type: ignore[arg-type]
    assert read == [BIG]


def test_a_dearer_offer_says_why_it_is_taken() -> None:
    first, *_ = spread.apart(OFFERS, [on(BIG, "a"), on(BIG, "b")])

    assert first.why == "$1.25 instead of $1 an hour, apart from 1 other on east big (spot)"
    assert next(spread.apart(OFFERS, [])).why == ""


@pytest.mark.parametrize(
    ("offers", "replicas", "is_said"),
    [
        (OFFERS, 4, True),
        (OFFERS, 1, False),
        ([BIG, FAR], 4, False),
        ([BIG, OTHER, FAR], 4, True),
        ([], 4, False),
        ([replace(BIG, shared=True), NEAR], 4, False),
    ],
)
def test_a_plan_says_that_replicas_are_kept_apart(
    offers: list[Offer], replicas: int, is_said: bool
) -> None:
    said = spread.remarks(offers, replicas=replicas)

    assert [("$1.29 instead of $1 an hour" in each) for each in said] == [True] * is_said


@pytest.mark.parametrize(
    ("interruptions", "replicas", "is_streak"),
    [(0, 1, False), (2, 1, False), (3, 1, True), (3, 4, False), (4, 4, True), (9, 10, False)],
)
def test_a_streak_is_as_many_as_there_are_replicas(
    interruptions: int, replicas: int, is_streak: bool
) -> None:
    assert spread.is_streak(interruptions, replicas=replicas) is is_streak


def test_after_a_streak_machines_on_demand_come_first_and_spot_is_left() -> None:
    found = list(spread.on_demand_first(lambda: OFFERS, 3))

    assert [each.offer for each in found] == [FIRM, *OFFERS]
    assert found[0].why == "3 of its spot machines were taken back within 30 minutes"
