"""What own hosts offer; nothing is made or ended by their provider."""

from __future__ import annotations

import pytest

from apps.backends import base
from apps.backends.providers.ssh.provider import Host, HostGpu, SshConfig, SshProvider

DESK = Host(
    name="desk",
    ref="host-1",
    cpus=16,
    memory_mib=65536,
    disk_mib=500_000,
    gpus=(
        HostGpu(name="A100", memory_mib=81920, count=2, indices=(0, 2)),
        HostGpu(name="T4", memory_mib=16384, count=1, indices=(1,)),
    ),
    price_usd_per_hour=0.3,
    executors=("docker", "process"),
)


def test_offers_each_kind_of_gpus_of_a_shared_host() -> None:
    offers = SshProvider(SshConfig(hosts=(DESK,))).offers()

    gpus = [offer.hardware.gpu for offer in offers]
    assert [(gpu.name, gpu.numbers) for gpu in gpus if gpu] == [("A100", (0, 2)), ("T4", (1,))]
    assert {offer.instance for offer in offers} == {"desk"}
    assert all(offer.shared and offer.price_usd_per_hour == 0.3 for offer in offers)


def test_offers_a_host_without_gpus_once() -> None:
    bare = DESK.model_copy(update={"gpus": ()})

    (offer,) = SshProvider(SshConfig(hosts=(bare,))).offers()

    assert offer.hardware.gpu is None
    assert offer.executors == ("docker", "process")


def test_makes_no_host() -> None:
    provider = SshProvider(SshConfig(hosts=(DESK,)))
    spec = base.InstanceSpec(provider.offers()[0], base.Boot("dstack-1", "1", "http://x"))

    with pytest.raises(base.ProviderError, match="dstack host add"):
        provider.create(spec)

    assert provider.list_owned("server") == []
    assert provider.inspect("host-1").state == base.InstanceState.RUNNING
