"""Which permissions the credentials need, and which of them they lack: Google tells both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from apps.backends.providers.gcp.clients import Clients

ROLE = "dstackWeb"
FOR_MACHINES = (
    "compute.disks.create",
    "compute.disks.setLabels",
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.getSerialPortOutput",
    "compute.instances.list",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setTags",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
)
FOR_THE_NETWORK = (
    "compute.firewalls.create",
    "compute.firewalls.get",
    "compute.firewalls.list",
    "compute.globalOperations.get",
    "compute.networks.create",
    "compute.networks.get",
    "compute.networks.updatePolicy",
)
FOR_PRICES = (
    "compute.acceleratorTypes.list",
    "compute.machineTypes.list",
    "compute.projects.get",
    "compute.regions.get",
    "compute.regions.list",
    "compute.zones.list",
)
FOR_ADDRESSES = (
    "compute.addresses.create",
    "compute.addresses.delete",
    "compute.addresses.get",
    "compute.addresses.list",
    "compute.addresses.use",
    "compute.instances.addAccessConfig",
    "compute.instances.deleteAccessConfig",
    "compute.regionOperations.get",
)
ALL = tuple(sorted({*FOR_MACHINES, *FOR_THE_NETWORK, *FOR_PRICES, *FOR_ADDRESSES}))


def role(wanted: Iterable[str]) -> str:
    """Return a custom role, as `gcloud iam roles create --file` reads it."""
    about = {"title": "dstack-web", "description": "Machines of dstack-web", "stage": "GA"}
    return json.dumps({**about, "includedPermissions": sorted(wanted)})


MINIMAL_ROLE = role(ALL)


def missing(clients: Clients) -> list[str]:
    """Return the permissions that the credentials lack in the project, by name."""
    asked: dict[str, Any] = {"permissions": list(ALL)}
    path = f"v1/projects/{clients.project}:testIamPermissions"
    granted = clients.ask("POST", "cloudresourcemanager", path, json=asked)
    return sorted(set(ALL) - set(granted.get("permissions", ())))
