"""The provider of a project's own hosts: what each has is known from its check and its agent.

Nothing outside is asked, and nothing is made or ended: a host's agent is installed when the host is
added and removed with it. Several replicas share a host.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from apps.backends import base


class HostGpu(BaseModel):
    """GPUs of one kind, as `base.Gpu` has them."""

    model_config = ConfigDict(frozen=True)

    name: str
    memory_mib: int
    count: int
    indices: tuple[int, ...] = ()
    measured_mib: int | None = None
    compute_capability: tuple[int, int] | None = None


class Host(BaseModel):
    """What can be had of a host; `ref` is what its instance is called by, `address` where this
    server reaches it."""

    model_config = ConfigDict(frozen=True)

    name: str
    ref: str
    address: str = ""
    cpus: int
    memory_mib: int
    disk_mib: int
    arch: str = "x86"
    gpus: tuple[HostGpu, ...] = ()
    gpu_problems: tuple[str, ...] = ()
    price_usd_per_hour: float = 0.0
    executors: tuple[str, ...] = ("process",)
    pythons: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    shells: tuple[str, ...] = ()
    isolation: str = ""
    unbounded: str = ""


class SshConfig(base.Config):
    """`hosts` are those whose agents have reported."""

    hosts: tuple[Host, ...] = ()


class SshProvider(base.Provider):
    kind = "ssh"
    Config = SshConfig
    features = frozenset({base.Feature.STANDING})

    def check(self) -> list[base.Problem]:
        return []

    def offers(self) -> list[base.Offer]:
        return [offer for host in self.config.hosts for offer in offers_of(host)]

    def create(self, spec: base.InstanceSpec) -> str:
        name = spec.offer.instance
        raise base.ProviderError(
            f"Host {name} has no agent: add it again with `dstack host add`.",
            kind=base.ErrorKind.REFUSED,
        )

    def inspect(self, ref: str) -> base.InstanceStatus:
        at = next((host.address for host in self.config.hosts if host.ref == ref), "")
        return base.InstanceStatus(base.InstanceState.RUNNING, address=at or None)

    def terminate(self, ref: str) -> None:
        """Nothing ends with it but what the host's removal takes away."""

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        return []


def offers_of(host: Host) -> list[base.Offer]:
    """Return one for each kind of GPUs that the host has; all of them are the same machine."""
    totals = base.Hardware(
        cpus=host.cpus,
        memory_mib=host.memory_mib,
        disk_mib=host.disk_mib,
        arch=host.arch,
        gpu_problems=host.gpu_problems,
    )
    kinds = [replace(totals, gpu=base.Gpu(**gpu.model_dump())) for gpu in host.gpus] or [totals]
    return [
        base.Offer(
            backend=SshProvider.kind,
            kind=SshProvider.kind,
            region=SshProvider.kind,
            instance=host.name,
            hardware=hardware,
            price_usd_per_hour=host.price_usd_per_hour,
            shared=True,
            executors=host.executors,
            pythons=host.pythons,
            images=host.images,
            shells=host.shells,
            isolation=host.isolation,
            unbounded=host.unbounded,
        )
        for hardware in kinds
    ]
