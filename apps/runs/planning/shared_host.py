"""What many replicas on one shared host get of it: said before anybody asks for them. Pure.

Replicas of a shared machine divide its processors and memory, and nothing refuses one more; so a
plan and `scale` say what each would get where that is little, or less than the file asks for.
"""

from __future__ import annotations

from collections.abc import Sequence

from apps.backends.base import Offer, gigabytes
from apps.specs.sections.service import ServiceSpec

# Below these a replica starts slowly, fails its probes, or takes the others' memory.
LEAST_CPUS, LEAST_MEMORY_MIB = 0.25, 256


def warning(offers: Sequence[Offer], spec: ServiceSpec, replicas: int) -> str:
    """Say that a shared host cannot carry so many replicas, "" where it can.

    `offers` fit, in the order in which they are tried: all replicas go to the first one.
    """
    first = offers[0] if offers else None
    if first is None or not first.shared or replicas < 2:
        return ""
    has = first.hardware
    cpus, memory_mib = has.cpus / replicas, has.memory_mib / replicas
    said = f"{replicas:,} replicas share {_cpus(has.cpus)} and {gigabytes(has.memory_mib)}"
    short = _short(spec, cpus, memory_mib)
    if short:
        return f"{said}: {short}"
    if cpus < LEAST_CPUS or memory_mib < LEAST_MEMORY_MIB:
        return f"{said}: each gets about {cpus:.2g} of a CPU and {_memory(memory_mib)}"
    return _without_gpu(offers, spec, replicas)


def _short(spec: ServiceSpec, cpus: float, memory_mib: float) -> str:
    """What each would have less of than the file says that it needs."""
    wish = spec.resources
    if spec.wrote("resources.cpu") and cpus < (wish.cpu.count.min or 0):
        asked = _cpus(int(wish.cpu.count.min or 0))
        return f"each gets about {cpus:.2g} of the {asked} it asks for"
    if spec.wrote("resources.memory") and memory_mib < (wish.memory_mib.min or 0):
        asked = gigabytes(int(wish.memory_mib.min or 0))
        return f"each gets about {_memory(memory_mib)} of the {asked} it asks for"
    return ""


def _without_gpu(offers: Sequence[Offer], spec: ServiceSpec, replicas: int) -> str:
    """GPUs are not shared: without another machine to take, some replicas find none."""
    wish, has = spec.resources.gpu, offers[0].hardware.gpu
    each = int(wish.count.min or 0) if wish else 0
    if not each or has is None or not all(offer.shared for offer in offers):
        return ""
    room = has.count // each
    if replicas <= room:
        return ""
    return f"{room} of {replicas:,} replicas have a GPU there: the others wait for one"


def _cpus(count: int) -> str:
    return "1 CPU" if count == 1 else f"{count} CPUs"


def _memory(mib: float) -> str:
    return f"{mib:.0f}MB" if mib < 1024 else gigabytes(int(mib))
