"""Price lists and sizes of AWS, as they are and as they should not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.backends.base import Gpu
from apps.backends.providers.aws import prices, sizes
from tests.fakes.aws_prices import product

EAST = "us-east-1"


def read(*items: str) -> list[tuple[str, float]]:
    return list(prices.read(items, EAST))


def test_reads_the_price_of_an_hour() -> None:
    assert read(product(EAST, "m5.large", "0.0960000000")) == [("m5.large", 0.096)]


@pytest.mark.parametrize(
    "item",
    [
        product("eu-west-1", "m5.large", 0.1),
        product(EAST, "m5.large", 0.1, operatingSystem="Windows"),
        product(EAST, "m5.large", 0.1, tenancy="Dedicated"),
        product(EAST, "m5.large", 0.1, capacitystatus="AllocatedCapacityReservation"),
        product(EAST, "m5.large", 0.1, preInstalledSw="SQL Web"),
        product(EAST, "m5.large", 0),
        product(EAST, "m5.large", -1),
        product(EAST, "m5.large", "nan"),
        product(EAST, "m5.large", "1e400"),
        product(EAST, "m5.large", "free"),
        product(EAST, "m5.large", 0.1).replace('"Hrs"', '"GB-Mo"'),
        product(EAST, "m5.large", 0.1).replace("instanceType", "storageMedia"),
        product(EAST, "m5.large", 0.1).replace('"USD"', '"CNY"'),
        json.dumps({"product": None}),
        json.dumps([]),
        "null",
        "{",
        "",
        "\0",
    ],
)
def test_leaves_out_what_is_no_price_of_such_a_machine(item: str) -> None:
    assert read(item, product(EAST, "m5.xlarge", 0.192)) == [("m5.xlarge", 0.192)]


def row(**fields: Any) -> dict[str, Any]:
    return {
        "InstanceType": "p5.48xlarge",
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 192},
        "MemoryInfo": {"SizeInMiB": 2097152},
        **fields,
    }


def gpu(name: str, memory: int, maker: str = "NVIDIA", **fields: Any) -> dict[str, Any]:
    card = {"Name": name, "Manufacturer": maker, "Count": 8, "MemoryInfo": {"SizeInMiB": memory}}
    return {"Gpus": [{**card, **fields}]}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (gpu("H100", 81920), Gpu("H100", 81920, 8)),
        (gpu("A100", 40960), Gpu("A100", 40960, 8)),
        (gpu("T4", 16384), Gpu("T4", 16384, 8)),
        (gpu("L40S", 45776), Gpu("L40S", 49152, 8)),
        (gpu("A10G", 24576), Gpu("A10G", 24576, 8)),
        (gpu("Radeon Pro V520", 8192, "AMD"), Gpu("RadeonProV520", 8192, 8, vendor="amd")),
    ],
)
def test_gpus_have_their_canonical_names_and_sizes(said: dict[str, Any], found: Gpu) -> None:
    hardware = sizes.hardware(row(GpuInfo=said))
    assert hardware is not None and hardware.gpu == found


@pytest.mark.parametrize(
    "unfit",
    [
        {"ProcessorInfo": {"SupportedArchitectures": ["i386", "x86_64_mac"]}},
        {"ProcessorInfo": {}},
        {"VCpuInfo": {}},
        {"MemoryInfo": {}},
        {"GpuInfo": gpu("L4", 2861, GpuPartitionSize=0.125)},
        {"GpuInfo": gpu("Something", 8192, "Nobody")},
        {"GpuInfo": {"Gpus": [*gpu("L4", 23040)["Gpus"], *gpu("T4", 16384)["Gpus"]]}},
    ],
)
def test_leaves_out_machines_that_we_cannot_use(unfit: dict[str, Any]) -> None:
    assert sizes.hardware(row(**unfit)) is None
