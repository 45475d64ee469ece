"""What the tests of this folder ask for."""

from __future__ import annotations

from typing import Any

from apps.backends import base
from apps.backends.providers.azure.provider import AzureProvider
from tests.fakes.azure_world import CONFIG

SERVER = "6fd1c8ee-8c5c-4c7d-9c0a-0c4d2c7f7a11"
WEST, EUROPE, SIZE = "westus2", "westeurope", "Standard_D2s_v5"
CPU = base.Hardware(cpus=2, memory_mib=8192, disk_mib=102400)
A100 = base.Hardware(24, 225280, 102400, base.Gpu("A100", memory_mib=81920, count=1))
ARM = base.Hardware(2, 8192, 102400, arch="arm")


def provider(**config: Any) -> AzureProvider:
    return AzureProvider(AzureProvider.Config.model_validate({**CONFIG, **config}))


def spec(name: str = "dstack-1", **changes: Any) -> base.InstanceSpec:
    """One machine; `changes` are of its offer or of the spec itself."""
    of_offer: dict[str, Any] = {
        "region": WEST,
        "instance": SIZE,
        "hardware": CPU,
        "spot": False,
    }
    of_offer |= {key: changes.pop(key) for key in list(changes) if key in of_offer}
    offer = base.Offer("azure", price_usd_per_hour=0.1, **of_offer)
    boot = base.Boot(name=name, instance_id="1", url="http://127.0.0.1:1", token="dsk_a_secret")
    return base.InstanceSpec(offer=offer, boot=boot, **{"server_id": SERVER, **changes})
