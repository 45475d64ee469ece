"""What a machine has, as DescribeInstanceTypes says it. Pure."""

from __future__ import annotations

from typing import Any

from apps.backends import cards
from apps.backends.base import Gpu, Hardware

ARCHITECTURES = {"x86_64": "x86", "arm64": "arm"}
VENDORS = {"nvidia": "nvidia", "amd": "amd", "habana": "intel"}


def hardware(row: dict[str, Any]) -> Hardware | None:
    """Return what it has, its disk apart; None for what we cannot use: other processors, parts of
    a GPU, GPUs of several kinds."""
    said = row.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    arch = next((ours for theirs, ours in ARCHITECTURES.items() if theirs in said), None)
    cpus = int(row.get("VCpuInfo", {}).get("DefaultVCpus", 0))
    memory = int(row.get("MemoryInfo", {}).get("SizeInMiB", 0))
    gpus = row.get("GpuInfo", {}).get("Gpus", [])
    gpu = _gpu(gpus[0]) if len(gpus) == 1 else None
    if arch is None or not cpus or not memory or (gpus and gpu is None):
        return None
    return Hardware(cpus=cpus, memory_mib=memory, disk_mib=0, gpu=gpu, arch=arch)


def _gpu(row: dict[str, Any]) -> Gpu | None:
    vendor = VENDORS.get(str(row.get("Manufacturer", "")).lower())
    count = int(row.get("Count", 0))
    memory = int(row.get("MemoryInfo", {}).get("SizeInMiB", 0))
    is_part = float(row.get("GpuPartitionSize", 1)) < 1
    if vendor is None or not count or not memory or is_part:
        return None
    name = cards.card(str(row.get("Name", ""))).name
    return Gpu(name=name, memory_mib=cards.nominal_mib(name, memory), count=count, vendor=vendor)
