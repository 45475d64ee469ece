from __future__ import annotations

from dataclasses import replace

import pytest

from apps.backends.base import Gpu, Hardware, Offer
from apps.offers import reasons
from apps.offers.decide import match, refusal
from apps.specs.parse import parse

HOST = Offer(
    backend="local",
    region="local",
    instance="box",
    price_usd_per_hour=0.0,
    shared=True,
    hardware=Hardware(cpus=2, memory_mib=4096, disk_mib=20_000),
    executors=("process",),
    pythons=("3.12", "3.11"),
)
CLOUD = Offer(
    backend="aws",
    region="eu-west-1",
    instance="p4d",
    price_usd_per_hour=32.77,
    hardware=Hardware(96, 1_179_648, 8_000_000, Gpu("A100", 40960, 8)),
)
BASE = "type: service\nport: 8000\ncommands: [serve]\n"


def refused(offer: Offer, more: str = "") -> str | None:
    return refusal(offer, parse(BASE + more))


def test_a_default_that_nobody_wrote_never_excludes_a_shared_host() -> None:
    assert refused(HOST) is None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("resources: {cpu: 4}", "resources.cpu: has 2 CPUs"),
        ("resources: {memory: 8GB}", "resources.memory: has 4GB of memory"),
        ("resources: {disk: 100GB}", "resources.disk: has 19.5GB of disk"),
        ("resources: {gpu: 24GB}", "resources.gpu: has no GPU"),
        ("resources: {cpu: 'arm:2'}", "resources.cpu: is x86"),
        ("image: nginx", "image: needs a container engine, and none answers there"),
        ("python: '3.9'", "python: 3.9 is not there (found 3.12, 3.11)"),
        ("backends: [aws]", "backends: is not among aws"),
        ("spot_policy: spot", "spot_policy: is not a spot instance"),
    ],
)
def test_says_why_a_host_does_not_fit(more: str, reason: str) -> None:
    assert refused(HOST, more) == reason


@pytest.mark.parametrize(
    ("resources", "on_arm", "on_x86"),
    [
        ("{}", "resources.cpu: is arm", None),
        ("{cpu: 4..}", "resources.cpu: is arm", None),
        ("{cpu: 'arm:4..'}", None, "resources.cpu: is x86"),
        ("{cpu: 'x86:4..'}", "resources.cpu: is arm", None),
        ("{gpu: '16GB..:1..'}", "resources.cpu: is arm", None),
        ("{gpu: GH200}", None, "resources.gpu: is A100"),
        ("{gpu: 'nvidia:gh200:96GB:1..8'}", None, "resources.gpu: is A100"),
        ("{gpu: 'A100,GH200:1..'}", None, None),
        ("{cpu: 'x86:4..', gpu: GH200}", "resources.cpu: is arm", "resources.gpu: is A100"),
    ],
)
def test_a_machine_of_ones_own_is_x86_but_where_arm_is_asked_for(
    resources: str, on_arm: str | None, on_x86: str | None
) -> None:
    grace = replace(CLOUD.hardware, arch="arm", gpu=Gpu("GH200", 98304, 1))

    assert refused(replace(CLOUD, hardware=grace), f"resources: {resources}") == on_arm
    assert refused(CLOUD, f"resources: {resources}") == on_x86


def test_a_shared_host_of_arm_takes_what_names_no_architecture() -> None:
    arm = replace(HOST, hardware=replace(HOST.hardware, arch="arm"))

    assert refused(arm) is None
    assert refused(arm, "resources: {cpu: 'x86:1'}") == "resources.cpu: is arm"


@pytest.mark.parametrize("more", ["resources: {cpu: 1}", "resources: {memory: 2GB..3GB}"])
def test_a_replica_takes_a_part_of_a_shared_host(more: str) -> None:
    assert refused(HOST, more) is None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("resources: {gpu: 40GB}", "resources.gpu: has 8"),
        ("resources: {gpu: 'A100:8'}", None),
        ("resources: {gpu: 'a100:40GB:4..8'}", None),
        ("resources: {gpu: 'H100:8'}", "resources.gpu: is A100"),
        ("resources: {gpu: 'amd:8'}", "resources.gpu: is nvidia"),
        ("resources: {gpu: '80GB:8'}", "resources.gpu: has 40GB each"),
        ("resources: {cpu: 2..4}", "resources.cpu: has 96 CPUs"),
        ("max_price: 10", "max_price: costs more than $10/h"),
        ("regions: [EU-WEST-1]", None),
    ],
)
def test_a_machine_of_ones_own_lies_in_the_ranges(more: str, reason: str | None) -> None:
    assert refused(CLOUD, more) == reason


def test_of_one_price_it_goes_by_names_and_what_is_on_demand_comes_before_spot() -> None:
    wanted = [
        replace(CLOUD, price_usd_per_hour=price, backend=backend, region=region, spot=spot)
        for price, backend, region, spot in (
            (1.6, "tensordock", "unitedkingdom", False),
            (3.7, "azure", "westus2", False),
            (3.7, "azure", "westus2", True),
            (3.7, "azure", "westus3", False),
            (3.7, "gcp", "us-east1", True),
            (3.8, "aws", "eu-west-1", False),
        )
    ]

    spec = parse(f"{BASE}spot_policy: auto\n")

    for shuffled in (wanted[::-1], wanted[1::2] + wanted[::2]):
        assert match(shuffled, spec).offers == wanted


def test_tries_the_cheapest_first_and_names_the_refused() -> None:
    cheap = replace(CLOUD, instance="other", price_usd_per_hour=1.0)

    found = match([CLOUD, HOST, cheap], parse(BASE + "max_price: 5"))

    assert [offer.instance for offer in found.offers] == ["box", "other"]
    assert found.refused == {"max_price: costs more than $5/h": ["p4d"]}
    assert found.max_price_usd_per_hour == 1.0


@pytest.mark.parametrize(
    ("isolation", "more", "trusted", "fits"),
    [
        ("network", "", False, True),
        ("user", "", False, False),
        ("none", "", False, False),
        ("none", "", True, True),
        ("none", "image: nginx", False, True),
        ("", "", False, True),
    ],
)
def test_gives_strangers_nothing_where_processes_are_not_kept_apart(
    isolation: str, more: str, trusted: bool, fits: bool
) -> None:
    host = replace(HOST, isolation=isolation, executors=("docker", "process"))

    found = match([host], parse(BASE + more), base_image="none", trusted=trusted)

    assert bool(found.offers) is fits
    assert list(found.refused) == ([] if fits else [reasons.STRANGE])


@pytest.mark.parametrize(
    ("names", "fits"),
    [("prod", True), ("PROD", True), ("aws", True), ("gcp, Aws", True), ("pro", False)],
)
def test_a_backend_is_named_by_its_name_or_its_kind(names: str, fits: bool) -> None:
    mine = replace(CLOUD, backend="prod", kind="aws")

    assert (refused(mine, f"backends: [{names}]") is None) == fits
