"""What a machine has, as Azure's list of sizes says it; of its GPUs that says the number alone, so
that their kind is told by the name of the size. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apps.backends import cards
from apps.backends.base import Gpu, Hardware

ARCHITECTURES = {"x64": "x86", "Arm64": "arm", "": "x86"}
# Cards by the sizes that have them: model, and GB of memory. Not those that are parts of a card or
# need another driver (NV), nor those of AMD.
CARDS = (
    (r"Standard_NC\d+as_T4_v3", "T4", 16),
    (r"Standard_NC\d+r?s_v3", "V100", 16),
    (r"Standard_ND40rs_v2", "V100", 32),
    (r"Standard_NC\d+ads_A100_v4", "A100", 80),
    (r"Standard_ND96a?sr(_A100)?_v4", "A100", 40),
    (r"Standard_ND96amsr_A100_v4", "A100", 80),
    (r"Standard_NCC?\d+adi?s_H100_v5", "H100NVL", 94),
    (r"Standard_ND96isr?f?_H100_v5", "H100", 80),
    (r"Standard_ND96isr?f?_H200_v5", "H200", 141),
)


def hardware(row: Mapping[str, Any]) -> Hardware | None:
    """Return what it has, its disk apart; None for what we cannot use: other processors, GPUs that
    are not known, sizes that boot no newer image, what this subscription may not have there."""
    has = {str(each["name"]): str(each["value"]) for each in row.get("capabilities", [])}
    arch = ARCHITECTURES.get(has.get("CpuArchitectureType", ""))
    cpus = _number(has.get("vCPUsAvailable") or has.get("vCPUs", ""))
    memory = _number(has.get("MemoryGB", ""))
    count = _number(has.get("GPUs", ""))
    gpu = _gpu(str(row.get("name")), int(count)) if count else None
    is_usable = "V2" in has.get("HyperVGenerations", "") and not _is_shut(row)
    if arch is None or not (is_usable and cpus and memory) or (count and gpu is None):
        return None
    return Hardware(int(cpus), int(memory * 1024), disk_mib=0, gpu=gpu, arch=arch)


def can_be_spot(row: Mapping[str, Any]) -> bool:
    said = {str(each["name"]): str(each["value"]) for each in row.get("capabilities", [])}
    return said.get("LowPriorityCapable") == "True"


def _is_shut(row: Mapping[str, Any]) -> bool:
    return any(each.get("type") == "Location" for each in row.get("restrictions", []))


def _gpu(name: str, count: int) -> Gpu | None:
    for pattern, model, gb in CARDS:
        if re.fullmatch(pattern, name):
            return Gpu(name=model, memory_mib=gb * cards.MIB_PER_GB, count=count)
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
