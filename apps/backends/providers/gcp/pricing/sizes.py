"""What a machine has, as Google's lists of types say it. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from apps.backends import cards
from apps.backends.base import Gpu, Hardware
from apps.backends.providers.gcp import machine

ARCHITECTURES = {"X86_64": "x86", "ARM64": "arm", "": "x86"}
GIB_OF_LOCAL_SSD = 375
# Cards by what Google calls their kind: model, and GB of memory.
CARDS = {
    "nvidia-tesla-t4": ("T4", 16),
    "nvidia-tesla-p4": ("P4", 8),
    "nvidia-tesla-v100": ("V100", 16),
    "nvidia-tesla-p100": ("P100", 16),
    "nvidia-tesla-a100": ("A100", 40),
    "nvidia-a100-80gb": ("A100", 80),
    "nvidia-l4": ("L4", 24),
    "nvidia-h100-80gb": ("H100", 80),
    "nvidia-h100-mega-80gb": ("H100", 80),
    "nvidia-h200-141gb": ("H200", 141),
    "nvidia-b200": ("B200", 180),
    "nvidia-rtx-pro-6000": ("RTXPRO6000", 96),
}
# Which counts of a card one machine may have, and the CPUs that it may have at most for each.
COUNTS = {
    "nvidia-tesla-t4": {1: 48, 2: 48, 4: 96},
    "nvidia-tesla-p4": {1: 24, 2: 48, 4: 96},
    "nvidia-tesla-v100": {1: 12, 2: 24, 4: 48, 8: 96},
    "nvidia-tesla-p100": {1: 16, 2: 32, 4: 96},
}
MOST_CPUS_ATTACHED = 32


class Size(NamedTuple):
    """A machine of an offer: `series` and `local_ssd_gib` are what its price is made of."""

    name: str
    series: str
    hardware: Hardware
    local_ssd_gib: int = 0


def sizes(row: Any, attachable: set[str]) -> list[Size]:
    """Return what is offered of a type: itself, and with each card that its zone can attach.

    Nothing of what we cannot use: shared CPUs, other processors, cards that are not known.
    """
    arch = ARCHITECTURES.get(str(row.architecture))
    name, series = str(row.name), str(row.name).partition("-")[0]
    gpu = _gpu(row)
    if row.is_shared_cpu or arch is None or (row.accelerators and gpu is None):
        return []
    cpus, memory = int(row.guest_cpus), int(row.memory_mb)
    partitions = int(row.bundled_local_ssds.partition_count)
    plain = Hardware(cpus=cpus, memory_mib=memory, disk_mib=0, gpu=gpu, arch=arch)
    own = Size(name, series, plain, partitions * GIB_OF_LOCAL_SSD)
    if series != "n1" or cpus > MOST_CPUS_ATTACHED:
        return [own]
    return [own, *(_with(own, card, n) for card in sorted(attachable) for n in _counts(card, cpus))]


def _counts(card: str, cpus: int) -> list[int]:
    return [count for count, most in COUNTS.get(card, {}).items() if cpus <= most]


def _with(size: Size, card: str, count: int) -> Size:
    plain = size.hardware
    gpu = _card(card, count)
    hardware = Hardware(plain.cpus, plain.memory_mib, plain.disk_mib, gpu, plain.arch)
    return size._replace(name=machine.name_of(size.name, card, count), hardware=hardware)


def _gpu(row: Any) -> Gpu | None:
    found = list(row.accelerators)
    if len(found) != 1 or found[0].guest_accelerator_type not in CARDS:
        return None
    return _card(str(found[0].guest_accelerator_type), int(found[0].guest_accelerator_count))


def _card(kind: str, count: int) -> Gpu:
    name, gb = CARDS[kind]
    return Gpu(name=name, memory_mib=gb * cards.MIB_PER_GB, count=count)
