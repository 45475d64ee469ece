"""The one interface of all backends. Pure: no Django; a provider imports this and its library only.

A provider is one folder below `providers/` and one line in `registry.py`. `create` is idempotent by
the boot's name, so a worker that dies between the call and the note of it leaks nothing; whatever
is left over is found by `list_owned`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class BackendError(Exception):
    """What went wrong, in words for the person."""


class BadCredentials(BackendError):
    """The account's credentials do not work."""


class NoCapacity(BackendError):
    """Nothing of this kind is free there now: the next offer is tried."""


class QuotaExceeded(BackendError):
    """The account may not have (more of) this: the next offer is tried."""


class BackendRefused(BackendError):
    """The backend will not do it, however often it is asked."""


class BackendUnreachable(BackendError):
    """No answer: try again later."""


@dataclass(frozen=True)
class Gpu:
    """GPUs of one kind: `memory_mib` is what each is sold with, by which it is chosen.

    `measured_mib` is what its driver says, less than that. `indices` are the numbers by which the
    machine knows them, where it has GPUs of other kinds too; without any they count from 0.
    """

    name: str
    memory_mib: int
    count: int
    vendor: str = "nvidia"
    indices: tuple[int, ...] = ()
    measured_mib: int | None = None
    compute_capability: tuple[int, int] | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(self.indices) or tuple(range(self.count))


@dataclass(frozen=True)
class Hardware:
    """What a machine has; `gpu_problems` say which of its GPUs cannot be used, and why."""

    cpus: int
    memory_mib: int
    disk_mib: int
    gpu: Gpu | None = None
    arch: str = "x86"
    gpu_problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`10xCPU, 80GB, 1xA100 (80GB), 100GB (disk)`."""
        parts = [f"{self.cpus}xCPU", gigabytes(self.memory_mib)]
        if self.gpu and self.gpu.count:
            gpu = self.gpu
            parts.append(f"{gpu.count}x{gpu.name} ({gigabytes(gpu.memory_mib)})")
        parts.append(f"{gigabytes(self.disk_mib)} (disk)")
        return ", ".join(parts)


def gigabytes(mib: int) -> str:
    """Write 512 MiB as 0.5GB and 81920 as 80GB, as the field does (GB = GiB)."""
    return f"{round(mib / 1024, 1):g}GB"


@dataclass(frozen=True)
class Offer:
    """What can be had: where, what, for how much.

    `shared` machines carry several replicas, which share CPU, memory and disk; GPUs are exclusive.
    `executors` are the ways to run a replica there, best first ("docker", "process"); `pythons`
    the interpreters that the process executor finds ("3.11"), `images` those that are there,
    `shells` those that it finds ("bash", "sh"; empty where nobody looked).
    """

    backend: str
    region: str
    instance: str
    hardware: Hardware
    price_usd_per_hour: float
    spot: bool = False
    availability: str = "available"
    shared: bool = False
    executors: Sequence[str] = ("docker",)
    pythons: Sequence[str] = ()
    images: Sequence[str] = ()
    shells: Sequence[str] = ()
    data: dict[str, Any] = field(default_factory=dict)
    isolation: str = ""

    @property
    def keeps_processes_apart(self) -> bool:
        """Whether replicas that are plain processes reach nothing of one another or the host."""
        return self.isolation not in ("user", "none")


@dataclass(frozen=True)
class Boot:
    """What a new machine needs to call home. `token` is secret."""

    name: str
    instance_id: str
    url: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Sighting:
    """What the backend says of a machine: whether it lives, and its addresses where known."""

    alive: bool
    address: str | None = None
    message: str = ""


@dataclass(frozen=True)
class Owned:
    """A machine that a backend has for us; `name` is that of the boot it was made with."""

    ref: str
    name: str


class Config(BaseModel):
    """A provider's configuration; secrets carry `json_schema_extra={"secret": True}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Backend(ABC):
    kind: ClassVar[str]
    Config: ClassVar[type[Config]]

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def check(self) -> None:
        """This function will raise BadCredentials or BackendUnreachable if it does not work."""

    @abstractmethod
    def offers(self) -> list[Offer]:
        """This function will return all that can be had now, in any order."""

    @abstractmethod
    def create(self, offer: Offer, boot: Boot) -> str:
        """This function will make the machine and return its reference; same name, same machine.

        Raises NoCapacity, QuotaExceeded, BackendRefused or BackendUnreachable.
        """

    @abstractmethod
    def inspect(self, ref: str) -> Sighting | None:
        """This function will return what is known of the machine, None once it is gone."""

    @abstractmethod
    def list_owned(self) -> list[Owned]:
        """This function will return all machines there that were made by a server of this kind."""

    @abstractmethod
    def terminate(self, ref: str) -> None:
        """This function will end the machine; one that is gone already is fine."""
