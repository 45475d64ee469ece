"""The one interface of all providers. Pure: no Django; one imports this and its own library only.

A provider is one folder below `providers/` and one line in `registry.py`. `create` is idempotent by
the boot's name, so a worker that dies between the call and the note of it leaks nothing; whatever
is left over is found by `list_owned`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

# The tag by which every provider finds what one server made in an account that others use too.
SERVER_TAG = "dstack-web-server"


class ErrorKind(StrEnum):
    """What kind of fault an error of a backend is; that decides what follows.

    capacity, quota, refused: the next offer is tried. setup, credentials: the backend does not
    work, and a person has to mend that. throttled, unreachable: it is asked again later.
    """

    CAPACITY = "capacity"
    QUOTA = "quota"
    SETUP = "setup"
    CREDENTIALS = "credentials"
    THROTTLED = "throttled"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Scope(StrEnum):
    """What else of the backend an error holds for."""

    OFFER_ZONE = "offer+zone"
    OFFER_REGION = "offer+region"
    FAMILY_REGION = "family+region"
    SPOT_REGION = "spot+region"
    REGION = "region"
    BACKEND = "backend"


class ProviderError(Exception):
    """What went wrong, in words for the person; `lifetime` is how long it is likely to last."""

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind,
        scope: Scope = Scope.OFFER_REGION,
        lifetime: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.scope, self.lifetime = kind, scope, lifetime

    @property
    def is_passing(self) -> bool:
        """Whether the same call may work a little later."""
        return self.kind in (ErrorKind.THROTTLED, ErrorKind.UNREACHABLE)

    @property
    def is_of_backend(self) -> bool:
        """Whether a person has to mend the backend before anything of it can be had."""
        return self.is_fault_of_setup and self.scope not in (Scope.SPOT_REGION, Scope.REGION)

    @property
    def is_fault_of_setup(self) -> bool:
        """Whether a person has to mend something: that is never a want of capacity."""
        return self.kind in (ErrorKind.SETUP, ErrorKind.CREDENTIALS)


@dataclass(frozen=True)
class Problem:
    """What is wrong with a backend: one sentence that says what to do about it.

    `policy` is what to paste at the cloud, where that is what mends it.
    """

    message: str
    policy: str = ""

    def __str__(self) -> str:
        return self.message


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
    """Write 512 MiB as 0.5GB and 81920 as 80GB (GB = GiB)."""
    return f"{round(mib / 1024, 1):g}GB"


@dataclass(frozen=True)
class Offer:
    """What can be had: where, what, for how much.

    `backend` is the name of the backend that has it, `kind` that of its provider. `shared` machines
    carry several replicas, which share CPU, memory and disk; GPUs are exclusive.
    `executors` are the ways to run a replica there, best first ("docker", "process"); `pythons`
    the interpreters that the process executor finds ("3.11"), `images` those that are there,
    `shells` those that it finds ("bash", "sh"; empty where nobody looked). `zones` are those of
    the region that have it, by their full names; empty where that is not known.
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
    zones: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    isolation: str = ""
    unbounded: str = ""
    kind: str = ""

    @property
    def keeps_processes_apart(self) -> bool:
        """Whether replicas that are plain processes reach nothing of one another or the host."""
        return self.isolation not in ("user", "none")


@dataclass(frozen=True)
class Boot:
    """What a new machine needs to call home. `token` is secret, and given to standing machines
    alone: the agent of another makes its own, and gets in by what `user_data` says."""

    name: str
    instance_id: str
    url: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class InstanceSpec:
    """A machine that is wanted: one with the same `boot.name` is the same machine.

    `zones` are tried in order, where the provider has any; `tags` are put on the machine, and
    `server_id` too, by which `list_owned` finds what this server made. Whoever is outside may open
    connections to its `inbound_ports` (TCP), and to no other; most machines have none.
    """

    offer: Offer
    boot: Boot
    disk_mib: int = 0
    zones: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    user_data: str = field(default="", repr=False)
    server_id: str = ""
    inbound_ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Address:
    """An address that outlives its machine; `ref` is the provider's name for it, `name` ours."""

    ref: str
    ip: str
    name: str


class InstanceState(StrEnum):
    """What the backend says of a machine; a machine that it does not know is gone."""

    CREATING = "creating"
    RUNNING = "running"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True)
class InstanceStatus:
    """What the backend says of a machine, its address and the end of its console where known.

    `spot_notice`: it wants the machine back. `zone` is where the machine is. `error` is why there
    is none, where `create` answered before that was known.
    """

    state: InstanceState
    address: str | None = None
    message: str = ""
    console_tail: str = ""
    spot_notice: bool = False
    zone: str = ""
    error: ProviderError | None = None


@dataclass(frozen=True)
class OwnedInstance:
    """A machine that a backend has for us; `name` is that of the boot it was made with."""

    ref: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)


class Feature(StrEnum):
    """What a kind of backend can do. What is `standing` was there before us and stays."""

    SPOT = "spot"
    STATIC_ADDRESS = "static-address"
    CONSOLE = "console"
    SHUTS_DOWN_ITSELF = "shuts-down-itself"
    STANDING = "standing"


class Config(BaseModel):
    """A provider's configuration; secrets carry `json_schema_extra={"secret": True}`.

    No text of it shows a secret: neither its own nor that of an error about it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def secret_fields(cls) -> set[str]:
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {
            name
            for name, extra in extras.items()
            if isinstance(extra, dict) and extra.get("secret")
        }

    @property
    def is_of_server(self) -> bool:
        """Whether it acts with credentials that the server has itself, not with its own."""
        return False

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        secrets = self.secret_fields()
        return ((name, value) for name, value in super().__repr_args__() if name not in secrets)


class Provider(ABC):
    """The code of one kind of backend, over the configuration of one that is connected.

    Every method but `check` and `offers` may be called again after any answer, or none. All raise
    ProviderError and nothing else.

    `families` are the instances that share a quota, each by a regular expression that PostgreSQL
    and Python read alike; of others, what stands before the first dot is a family.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[Config]]
    features: ClassVar[frozenset[Feature]] = frozenset()
    families: ClassVar[Mapping[str, str]] = {}
    # What to allow at the cloud, to be pasted there; empty where it knows no such thing.
    minimal_policy: ClassVar[str] = ""
    # What to know before one connects it, a sentence or two; empty for most.
    remark: ClassVar[str] = ""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def family_of(cls, instance: str) -> str:
        """Return the family of an instance."""
        named = (name for name, which in cls.families.items() if re.match(which, instance))
        return next(named, instance.partition(".")[0])

    def in_catalog(self) -> tuple[str, ...] | None:
        """Return the regions of the catalog that it is configured for, empty for all of them.

        None where what it has is in no catalog. Plans and placements ask: nothing outside is."""
        return None

    def regions(self) -> list[str]:
        """Return the regions to refresh the catalog for; asks the cloud where it must."""
        return list(self.in_catalog() or ())

    def catalog(self, region: str, *, spot: bool) -> Iterator[Offer]:
        """Return what the cloud says that it rents there now; slow, for the refresh alone."""
        return iter(())

    @abstractmethod
    def check(self) -> list[Problem]:
        """Return what is wrong with it, without changing anything.

        Raise ProviderError only where it could not be asked at all."""

    def facts(self) -> list[str]:
        """Return what to know of the account, such as its quota; asked after a good check."""
        return []

    @abstractmethod
    def offers(self) -> list[Offer]:
        """Return all that can be had now, in any order, from what is known on this machine.

        Plans and placements wait for it: nothing outside is asked. Clouds are in the catalog."""

    @abstractmethod
    def create(self, spec: InstanceSpec) -> str:
        """Make the machine and return its reference, a text of any length; same name, same machine.

        It may answer before the machine lives."""

    @classmethod
    def id_of(cls, ref: str) -> str:
        """Return what the cloud's own pages call a machine."""
        return ref

    def page_of(self, ref: str) -> str:
        """Return the address of a machine's page at the cloud, "" where none is known."""
        return ""

    @abstractmethod
    def inspect(self, ref: str) -> InstanceStatus:
        """Return what is known of the machine: it is gone if the backend does not know it."""

    @abstractmethod
    def terminate(self, ref: str) -> None:
        """Begin to end the machine; one that is gone already is fine. `inspect` tells the end."""

    @abstractmethod
    def list_owned(self, server_id: str) -> list[OwnedInstance]:
        """Return what the server of this id made; `list_owned_in` looks in these regions, too."""

    def list_owned_in(self, server_id: str, regions: Collection[str]) -> list[OwnedInstance]:
        return self.list_owned(server_id)

    def reserve_address(self, region: str, name: str, *, server_id: str) -> Address:
        """Return the address of this name in the region, made where there is none yet; that costs
        money until `release_address`. Only with `STATIC_ADDRESS`, as all that follows."""
        raise self._no_addresses()

    def attach_address(self, ref: str, address: Address) -> None:
        """Give the address to a machine, whichever had it before; again is fine."""
        raise self._no_addresses()

    def release_address(self, address: Address) -> None:
        """Take the address from its machine and give it back; one that is gone already is fine."""
        raise self._no_addresses()

    def list_addresses(self, server_id: str) -> list[Address]:
        """Return all addresses there that the server of this id reserved."""
        return []

    def tidy(self, region: str) -> None:
        """Give back what only machines with inbound ports needed there, if none is left."""
        del region  # most leave nothing behind

    def _no_addresses(self) -> ProviderError:
        said = f"Backends of the kind {self.kind} have no static addresses."
        return ProviderError(said, kind=ErrorKind.REFUSED, scope=Scope.BACKEND)
