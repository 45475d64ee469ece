from __future__ import annotations

from dataclasses import replace

import pytest

from apps.offers import reasons
from apps.offers.decide import match
from apps.specs.parse import parse
from tests.unit.offers.test_decide import BASE, CLOUD, HOST

WAY = "; `dstack offer` lists what there is."


def sentence(more: str, *offers: object, unavailable: dict[str, str] | None = None) -> str:
    found = match(offers, parse(BASE + more))  # type: ignore[arg-type]
    assert not found.offers
    return reasons.sentence(found.refused, unavailable or {})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "resources: {gpu: banana}",
            "resources.gpu: box has no GPU. "
            "Leave `gpu` out to run without one, or add a machine that has it",
        ),
        (
            "resources: {cpu: 64}",
            "resources.cpu: box has 2 CPUs. Ask for less, or add a larger machine",
        ),
        (
            "resources: {memory: 64GB}",
            "resources.memory: box has 4GB of memory. Ask for less, or add a larger machine",
        ),
        (
            "resources: {disk: 9TB}",
            "resources.disk: box has 19.5GB of disk. Ask for less, or add a larger machine",
        ),
        (
            "backends: [aws]",
            "backends: local is not among aws. Connect that one first, on the page Backends or "
            "with `dstack backend connect`, or name another",
        ),
        ("regions: [mars]", "regions: local is not among mars. Ask for something else"),
        ("instance_types: [x]", "instance_types: box is not among x. Ask for something else"),
        ("spot_policy: spot", "spot_policy: box is not a spot instance. Ask for something else"),
        (
            "image: nginx",
            "image: box needs a container engine, and none answers there. Ask for something else",
        ),
        (
            "python: '3.9'",
            "python: box: 3.9 is not there (found 3.12, 3.11). Ask for something else",
        ),
    ],
)
def test_names_the_machine_and_a_way_out(more: str, said: str) -> None:
    assert sentence(more, HOST) == f"No offer fits. {said}{WAY}"


@pytest.mark.parametrize(
    ("more", "way"),
    [
        ("resources: {gpu: 1}", "Leave `gpu` out to run without one, or add a machine that has it"),
        ("resources: {cpu: 64}", "Ask for less, or add a larger machine"),
    ],
)
def test_a_project_without_a_cloud_is_told_that_one_may_have_it(more: str, way: str) -> None:
    refused = match([HOST], parse(BASE + more)).refused

    said = reasons.sentence(refused, {}, is_without_cloud=True)

    assert said.endswith(f"{way}, or connect a cloud; `dstack offer --all` lists what clouds have.")


def test_a_cloud_is_no_way_out_of_a_place_that_there_is_not() -> None:
    refused = match([HOST], parse(BASE + "regions: [mars]")).refused

    assert "cloud" not in reasons.sentence(refused, {}, is_without_cloud=True)


def test_names_some_of_many_machines() -> None:
    offers = [replace(HOST, instance=f"box-{n}") for n in range(5)]

    assert sentence("resources: {gpu: 1}", *offers).startswith(
        "No offer fits. resources.gpu: each of box-0, box-1, box-2 and 2 more has no GPU. "
    )
    assert "each of box-0, box-1 has no GPU" in sentence("resources: {gpu: 1}", *offers[:2])


def test_says_the_most_frequent_reason_first_and_each_place_once() -> None:
    offers = [HOST, CLOUD, replace(CLOUD, instance="other")]

    assert sentence("resources: {gpu: H100}", *offers, unavailable={"gcp": "no answer"}) == (
        "No offer fits. resources.gpu: each of p4d, other is A100; resources.gpu: box has no GPU; "
        f"gcp: no answer. Leave `gpu` out to run without one, or add a machine that has it{WAY}"
    )
    assert "backends: each of local, aws is not" in sentence("backends: [x]", *offers)


def test_says_only_that_nothing_fits_where_there_is_nothing() -> None:
    assert sentence("") == "No offer fits."
    assert sentence("", unavailable={"aws": "no answer."}) == "No offer fits. aws: no answer."
