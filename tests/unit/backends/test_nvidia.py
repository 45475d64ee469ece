"""GPUs as `nvidia-smi` says them: names, nominal memory, kinds, and what cannot be used."""

from __future__ import annotations

import pytest

from apps.backends import cards, nvidia
from apps.backends.base import Gpu
from tests.unit.backends.smi import CARDS

HOST_MIB = 122_570


def read(*lines: str) -> nvidia.Found:
    return nvidia.read("\n".join(lines) + "\n", host_memory_mib=HOST_MIB)


def names(found: nvidia.Found) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(kind.name, kind.memory_mib // 1024, kind.indices) for kind in found.kinds]


@pytest.mark.parametrize(("said", "measured", "name", "size_gb"), CARDS)
def test_knows_a_card_by_its_name_and_nominal_memory(
    said: str, measured: str, name: str, size_gb: int
) -> None:
    found = read(f"0, {said}, {measured}, [N/A], 8.9")

    expected = Gpu(
        name,
        size_gb * 1024,
        1,
        indices=(0,),
        measured_mib=int(measured),
        compute_capability=(8, 9),
    )
    assert found == nvidia.Found((expected,))
    assert cards.card(name).name == name


def test_knows_at_least_forty_cards() -> None:
    assert len({name for _, _, name, _ in CARDS if name in cards.SIZES}) >= 40


@pytest.mark.parametrize(
    ("line", "host_mib", "name", "size_gb"),
    [
        ("0, NVIDIA GB10, [N/A], [N/A], 12.1", HOST_MIB, "GB10", 128),
        ("0, NVIDIA GB10, [Not Supported], [N/A], 12.1", HOST_MIB, "GB10", 128),
        ("0, NVIDIA Thor, [N/A], [N/A], 11.0", 125_772, "Thor", 128),
        ("0, Orin (nvgpu), [N/A], [N/A], 8.7", 62_840, "Orin", 64),
        ("0, Orin (nvgpu), [N/A], [N/A], 8.7", 7_620, "Orin", 8),
        # One that says no memory of its own, and which we do not know, shares its machine's.
        ("0, NVIDIA GB99, [N/A], [N/A], 13.0", 250_000, "GB99", 256),
        # One that should have said it.
        ("0, NVIDIA A100-SXM4-80GB, [N/A], Disabled, 8.0", HOST_MIB, "A100", 80),
        ("0, NVIDIA L4, [N/A], [N/A], 8.9", HOST_MIB, "L4", 24),
    ],
)
def test_takes_the_machines_memory_where_a_gpu_shares_it(
    line: str, host_mib: int, name: str, size_gb: int
) -> None:
    found = nvidia.read(line, host_memory_mib=host_mib)

    assert [(kind.name, kind.memory_mib) for kind in found.kinds] == [(name, size_gb * 1024)]
    assert found.kinds[0].measured_mib is None


def test_tells_several_kinds_apart_with_the_numbers_of_each() -> None:
    found = read(
        "0, NVIDIA A100-SXM4-40GB, 40960, Disabled, 8.0",
        "1, Tesla T4, 15360, [N/A], 7.5",
        "2, NVIDIA A100-SXM4-80GB, 81920, Disabled, 8.0",
        "3, NVIDIA A100-SXM4-40GB, 40536, Disabled, 8.0",
    )

    assert names(found) == [("A100", 40, (0, 3)), ("T4", 16, (1,)), ("A100", 80, (2,))]
    assert [kind.count for kind in found.kinds] == [2, 1, 1]
    assert found.kinds[0].measured_mib == 40536


def test_counts_the_same_card_said_in_two_ways_as_one_kind() -> None:
    found = read(
        "1, NVIDIA L4, 23034, [N/A], 8.9",
        "0, NVIDIA L4, 22491, [N/A], 8.9",
    )

    assert names(found) == [("L4", 24, (0, 1))]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "1, NVIDIA A100-SXM4-40GB, 40960, Enabled, 8.0",
            "GPU 1 (A100) is in MIG mode, which is not supported: "
            "turn it off with `nvidia-smi -i 1 -mig 0`",
        ),
        ("1, [Unknown Error], [Unknown Error], [Unknown Error], [N/A]", "GPU 1 does not work"),
        ("1, NVIDIA A40, ERR!, [N/A], 8.6", "GPU 1 does not work"),
        ("1, NVIDIA A40, [GPU is lost], [GPU is lost], [GPU is lost]", "GPU 1 does not work"),
        ("1, [N/A], 40960, Disabled, 8.0", "GPU 1 does not work"),
        ("1, NVIDIA A", "nvidia-smi cuts the line of GPU 1 short"),
        ("1", "nvidia-smi cuts the line of GPU 1 short"),
    ],
)
def test_leaves_out_what_cannot_be_used_and_says_so(line: str, says: str) -> None:
    found = read("0, NVIDIA A40, 46068, [N/A], 8.6", line)

    assert names(found) == [("A40", 48, (0,))]
    assert len(found.problems) == 1
    assert found.problems[0].startswith(says)


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        ([""], ()),
        (["No devices were found"], ("nvidia-smi says: No devices were found",)),
        (
            [
                "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
                "Make sure that the latest NVIDIA driver is installed and running.",
                "",
            ],
            (
                "nvidia-smi says: NVIDIA-SMI has failed because it couldn't communicate with the "
                "NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running",
            ),
        ),
        (
            ["Failed to initialize NVML: Driver/library version mismatch"],
            ("nvidia-smi says: Failed to initialize NVML: Driver/library version mismatch",),
        ),
        (
            ["Fehler: kein Gerät gefunden \ufffd"],
            ("nvidia-smi says: Fehler: kein Gerät gefunden \ufffd",),
        ),
    ],
)
def test_says_what_it_was_told_in_place_of_gpus(
    lines: list[str], problems: tuple[str, ...]
) -> None:
    assert read(*lines) == nvidia.Found((), problems)


def test_passes_over_remarks_beside_the_gpus() -> None:
    found = read(
        "WARNING: infoROM is corrupted at gpu 0000:3B:00.0",
        "0, NVIDIA A40, 46068 MiB, [N/A], [N/A]",
        '"',
        "0, NVIDIA A40, 46068 MiB, [N/A], [N/A]",
    )

    assert names(found) == [("A40", 48, (0,))]
    assert (found.problems, found.kinds[0].compute_capability) == ((), None)


WISHES = [
    ("H100", "H100", 80, True),
    ("h100", "H100", 80, True),
    ("NVIDIA H100", "H100", 80, True),
    ("H100-SXM5-80GB", "H100", 80, True),
    ("H100SXM", "H100", 80, True),
    ("H100 PCIe", "H100", 80, True),
    # What earlier versions called it.
    ("H10080GBHBM3", "H100", 80, True),
    ("A10080GBPCIe", "A100", 80, True),
    ("H100", "H100NVL", 94, True),
    ("H100 NVL", "H100NVL", 94, True),
    ("h100-nvl", "H100NVL", 94, True),
    ("H100NVL", "H100", 80, False),
    ("H200", "GH200", 96, False),
    ("A100-80GB", "A100", 80, True),
    ("A100-80GB", "A100", 40, False),
    ("a100_40gb", "A100", 40, True),
    ("A10", "A10G", 24, False),
    ("A10G", "A10", 24, False),
    ("A10G", "A10G", 24, True),
    ("A1", "A100", 40, False),
    ("L4", "L40", 48, False),
    ("L40", "L40S", 48, False),
    ("L40-S", "L40S", 48, True),
    ("Tesla T4", "T4", 16, True),
    ("tesla-v100", "V100", 16, True),
    ("RTX 4090", "RTX4090", 24, True),
    ("rtx4090", "RTX4090", 24, True),
    ("RTX-4090", "RTX4090", 24, True),
    ("GeForce RTX 4090", "RTX4090", 24, True),
    ("NVIDIA GeForce RTX 4090", "RTX4090", 24, True),
    ("4090", "RTX4090", 24, True),
    ("RTX 4090", "RTX4090Laptop", 16, False),
    ("RTX 4090 Laptop", "RTX4090Laptop", 16, True),
    ("RTX 4070 Ti Super", "RTX4070TiSUPER", 16, True),
    ("4070ti", "RTX4070Ti", 12, True),
    ("RTX 4070", "RTX4070Ti", 12, False),
    ("GTX 1080 Ti", "GTX1080Ti", 11, True),
    ("A6000", "A6000", 48, True),
    ("RTXA6000", "A6000", 48, True),
    ("RTX A6000", "A6000", 48, True),
    ("rtx-a6000", "A6000", 48, True),
    ("A6000", "RTX6000Ada", 48, False),
    ("RTX 6000 Ada", "RTX6000Ada", 48, True),
    ("RTX6000Ada", "RTX6000Ada", 48, True),
    ("RTX6000AdaGeneration", "RTX6000Ada", 48, True),
    ("A6000 Ada", "RTX6000Ada", 48, True),
    ("RTX 6000", "RTX6000", 24, True),
    ("Quadro RTX 6000", "RTX6000", 24, True),
    ("RTX 6000", "RTX6000Ada", 48, False),
    ("RTX PRO 6000", "RTXPRO6000", 96, True),
    ("RTX Pro 6000 Blackwell", "RTXPRO6000", 96, True),
    ("RTX 3060 12GB", "RTX3060", 12, True),
    ("RTX 3060 12GB", "RTX3060", 8, False),
    ("GH200", "GH200", 96, True),
    ("GH200 480GB", "GH200", 96, True),
    ("Z900", "Z900", 197, True),
    ("nvidia z900", "Z900", 197, True),
    ("MI300X", "H100", 80, False),
]


@pytest.mark.parametrize(("wish", "name", "size_gb", "fits"), WISHES)
def test_finds_a_card_by_every_spelling(wish: str, name: str, size_gb: int, fits: bool) -> None:
    assert cards.is_wanted(wish, name=name, memory_mib=size_gb * 1024) is fits


@pytest.mark.parametrize(("said", "_measured", "name", "size_gb"), CARDS)
def test_finds_a_card_by_what_its_driver_calls_it(
    said: str, _measured: str, name: str, size_gb: int
) -> None:
    assert cards.is_wanted(said, name=name, memory_mib=size_gb * 1024)
