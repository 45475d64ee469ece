"""What the tests of this folder ask for, and how they look at what was made."""

from __future__ import annotations

import json
from typing import Any

from apps.backends import base
from apps.backends.providers.aws.provider import AwsProvider

SERVER = "6fd1c8ee-8c5c-4c7d-9c0a-0c4d2c7f7a11"
NORTH = "us-east-1"
CPU = base.Hardware(cpus=2, memory_mib=8192, disk_mib=102400)
SECRET = "wJalrXUtnFEMI/K7MDENG"
KEYS = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": SECRET}


def provider(**config: Any) -> AwsProvider:
    given = {"creds": KEYS, "regions": [NORTH], **config}
    return AwsProvider(AwsProvider.Config.model_validate(given))


def spec(name: str = "dstack-1", **changes: Any) -> base.InstanceSpec:
    """One machine; `changes` are of its offer or of the spec itself."""
    of_offer: dict[str, Any] = {
        "region": NORTH,
        "instance": "m5.large",
        "hardware": CPU,
        "spot": False,
    }
    of_offer |= {key: changes.pop(key) for key in list(changes) if key in of_offer}
    offer = base.Offer("aws", price_usd_per_hour=0.1, **of_offer)
    boot = base.Boot(name=name, instance_id="1", url="http://127.0.0.1:1", token="dsk_a_secret")
    return base.InstanceSpec(offer=offer, boot=boot, **{"server_id": SERVER, **changes})


def row(of: AwsProvider, ref: str) -> dict[str, Any]:
    """What the cloud itself says of a machine."""
    known = base_ref(ref)
    ec2 = of._clients.ec2(known["region"])
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[known["id"]])["Reservations"][0]
    return dict(found["Instances"][0])


def base_ref(ref: str) -> dict[str, str]:
    return dict(json.loads(ref))
