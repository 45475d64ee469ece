"""`resources`: what a replica needs, as ranges; the defaults are those of dstack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from apps.specs.errors import Misfit
from apps.specs.fields import foreign_keys
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.gpu import GPU, Gpu, read_gpu
from apps.specs.fields.ranges import (
    COUNT_RANGE,
    MEMORY,
    MEMORY_RANGE,
    Range,
    count_range,
    memory_mib,
    memory_range,
)
from apps.specs.fields.scalars import choice, found, shown

Arch = Literal["x86", "arm"]
_arch = choice("x86", "arm")
# Sold with CPUs of ARM: NVIDIA's Grace superchips, and the T4G of AWS's g5g.
GPUS_ON_ARM = ("gh200", "gb200", "gb300", "t4g")


def _cpu_count(value: Any) -> Range:
    counted = count_range(value, of="a whole number of CPUs")
    if counted.max == 0:
        raise Misfit(f"expected at least 1 CPU, {found(value)}")
    return counted


def _cpu_arch(value: Any) -> str:
    return _arch(value.strip().lower() if isinstance(value, str) else value)


class Cpu(Section):
    """The CPUs of a replica. Without `arch`, see `Resources.machine_arch`."""

    arch: Annotated[Arch | None, Form(_cpu_arch, {"type": "string"})] = None
    count: Annotated[Range, Form(_cpu_count, COUNT_RANGE)] = Range(min=2)


def _cpu(value: Any) -> Any:
    if isinstance(value, Mapping):
        ranged = bool(value) and set(value) <= {"min", "max"}
        return Cpu.of(count=_cpu_count(value)) if ranged else value
    if not isinstance(value, str):
        return Cpu.of(count=_cpu_count(value))
    meanings: dict[str, object] = {}
    for token in (part.strip() for part in value.split(":")):
        kind = "arch" if token[:1].isalpha() else "count"
        if kind in meanings or not token:
            raise Misfit(f"expected CPUs such as 4, 2.. or arm:4, found {shown(value)}")
        meanings[kind] = _cpu_arch(token) if kind == "arch" else _cpu_count(token)
    return Cpu.of(**meanings)


def _size(value: Any) -> int:
    mib = memory_mib(value)
    if mib == 0:
        raise Misfit(f"expected more than 0, {found(value)}")
    return mib


def _sizes(value: Any) -> Range:
    sizes = memory_range(value)
    if sizes.max == 0:
        raise Misfit(f"expected more than 0, {found(value)}")
    return sizes


def _disk(value: Any) -> Range:
    if isinstance(value, Mapping) and set(value) == {"size"}:
        return _sizes(value["size"])
    return _sizes(value)


_CPU: JsonSchema = {
    "anyOf": [
        *COUNT_RANGE["anyOf"],
        {"type": "string", "pattern": r"^\s*[\w.]+\s*(:\s*[\w. ]+)?$"},
        OWN,
    ]
}
_DISK: JsonSchema = {
    "anyOf": [
        *MEMORY_RANGE["anyOf"],
        {
            "type": "object",
            "properties": {"size": MEMORY_RANGE},
            "required": ["size"],
            "additionalProperties": False,
        },
    ]
}


class Resources(Section):
    """What a replica needs. Which of these a person wrote is `ServiceSpec.wrote`."""

    foreign: ClassVar[Mapping[str, str]] = foreign_keys.RESOURCES

    cpu: Annotated[Cpu, Form(_cpu, _CPU)] = Field(
        default=Cpu(), description="CPUs: 4, 2..8, arm:4.."
    )
    memory_mib: Annotated[Range, Form(_sizes, MEMORY_RANGE)] = Field(
        default=Range(min=8192), alias="memory", description="Memory: 16GB, 8GB.., 24GB..80GB."
    )
    shm_size_mib: Annotated[int | None, Form(_size, MEMORY)] = Field(
        default=None, alias="shm_size", description="Shared memory (/dev/shm): 16GB."
    )
    gpu: Annotated[Gpu | None, Form(read_gpu, GPU)] = Field(
        default=None, description="GPUs: 80GB, A100, A100:2, nvidia:H100:80GB:1..8."
    )
    disk_mib: Annotated[Range, Form(_disk, _DISK)] = Field(
        default=Range(min=102400), alias="disk", description="Disk: 200GB, 100GB..."
    )

    @property
    def machine_arch(self) -> Arch | None:
        """The architecture that a cloud's machine must have, None for any.

        Where nobody wrote one it is x86, since most images are built for that alone, unless a GPU
        is asked for that comes with ARM.
        """
        if self.cpu.arch is not None:
            return self.cpu.arch
        names = self.gpu.name if self.gpu is not None else ()
        return None if any(name.lower().startswith(GPUS_ON_ARM) for name in names) else "x86"
