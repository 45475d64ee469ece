"""What a host says that it has, by its check and later by its agent. Pure.

Nobody is believed by his word: what is out of all bounds, or of another kind, is no fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

Name = Annotated[str, StringConstraints(max_length=300)]
Image = Annotated[str, StringConstraints(max_length=600)]
Version = Annotated[str, StringConstraints(pattern=r"^3\.\d{1,2}$")]
Text = Annotated[str, StringConstraints(max_length=20_000)]


class Hardware(BaseModel):
    """What may change while a host is one."""

    model_config = ConfigDict(extra="ignore", strict=True)

    cpus: int = Field(ge=1, le=65_536)
    memory_mib: int = Field(ge=1, le=2**28)
    disk_mib: int = Field(ge=0, le=2**34)
    gpus: Text | None = None
    images: list[Image] | None = Field(default=None, max_length=500)
    pythons: list[Version] = Field(default=[], max_length=50)
    shells: list[Literal["bash", "sh"]] = Field(default=[], max_length=2)


class Found(Hardware):
    """What a check finds besides."""

    free_mib: int = Field(ge=0, le=2**34)
    arch: Literal["x86", "arm"]
    systemd: bool
    ssh: bool
    server: Name | None = None
    gateways: dict[Name, Name] = Field(default={}, max_length=1000)
    installed_for: Name = ""
    time: float = Field(ge=0, le=10**12)


def of_check(said: object) -> dict[str, Any]:
    """Return the facts of a check, {} where it says something else."""
    return _read(Found, said)


def of_agent(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an agent, {} where it says something else."""
    return _read(Hardware, said)


def _read(kind: type[Hardware], said: object) -> dict[str, Any]:
    try:
        return kind.model_validate(said).model_dump()
    except ValidationError:
        return {}
