"""What the tests of this folder ask for."""

from __future__ import annotations

from typing import Any

from apps.backends import base
from apps.backends.providers.gcp.provider import GcpProvider
from tests.fakes.gcp_keys import CONFIG

SERVER = "6fd1c8ee-8c5c-4c7d-9c0a-0c4d2c7f7a11"
NORTH = "us-central1"
A, B, C, F = (f"{NORTH}-{letter}" for letter in "abcf")
CPU = base.Hardware(cpus=2, memory_mib=8192, disk_mib=102400)
L4 = base.Hardware(4, 16384, 102400, base.Gpu("L4", memory_mib=24576, count=1))
T4 = base.Hardware(4, 15360, 102400, base.Gpu("T4", memory_mib=16384, count=2))


def provider(**config: Any) -> GcpProvider:
    return GcpProvider(GcpProvider.Config.model_validate({**CONFIG, **config}))


def spec(name: str = "dstack-1", **changes: Any) -> base.InstanceSpec:
    """One machine; `changes` are of its offer or of the spec itself."""
    of_offer: dict[str, Any] = {
        "region": NORTH,
        "instance": "e2-standard-2",
        "hardware": CPU,
        "spot": False,
    }
    of_offer |= {key: changes.pop(key) for key in list(changes) if key in of_offer}
    offer = base.Offer("gcp", price_usd_per_hour=0.1, **of_offer)
    boot = base.Boot(name=name, instance_id="1", url="http://127.0.0.1:1", token="dsk_a_secret")
    return base.InstanceSpec(offer=offer, boot=boot, **{"server_id": SERVER, **changes})
