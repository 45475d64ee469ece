"""What Azure is asked for a machine: size, image, disk, network, what it boots with. Pure."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from apps.backends.base import SERVER_TAG, ErrorKind, Hardware, InstanceSpec, ProviderError
from apps.backends.providers.azure.network import Place

BOOT_TAG = "dstack-web-boot"
USER = "dstack"
MIB_PER_GIB = 1024
# Azure's own bounds: 50 tags, without some signs; what a machine boots with, before it is encoded.
MOST_TAGS, LONGEST_KEY, LONGEST_VALUE, NOT_IN_KEYS = 50, 512, 256, "<>%&\\?/"
LONGEST_USER_DATA = 65_535
# The version of Azure's network in whose words the parts of one are told.
NETWORK_VERSION = "2022-11-01"


class Image(NamedTuple):
    """`smallest_gib` is what its root disk has at least."""

    publisher: str
    offer: str
    sku: str
    smallest_gib: int


# By whether it has GPUs, and by architecture. That with NVIDIA's driver is Microsoft's own.
IMAGES = {
    (False, "x86"): Image("Canonical", "ubuntu-24_04-lts", "server", 30),
    (False, "arm"): Image("Canonical", "ubuntu-24_04-lts", "server-arm64", 30),
    (True, "x86"): Image("microsoft-dsvm", "ubuntu-hpc", "2204", 64),
}


def image_of(hardware: Hardware) -> Image:
    """Raise ProviderError for hardware that we have no image for."""
    has_gpu = hardware.gpu is not None and hardware.gpu.count > 0
    image = IMAGES.get((has_gpu, hardware.arch))
    if image is None or (hardware.gpu and has_gpu and hardware.gpu.vendor != "nvidia"):
        raise ProviderError(
            f"There is no image for machines with {hardware} ({hardware.arch}) on Azure.",
            kind=ErrorKind.REFUSED,
        )
    return image


def tags_of(spec: InstanceSpec) -> dict[str, str]:
    """Return the caller's tags below ours, by which machines are found."""
    ours = {SERVER_TAG: spec.server_id, BOOT_TAG: spec.boot.name}
    theirs = {_key(key): value[:LONGEST_VALUE] for key, value in spec.tags.items()}
    small = {key.lower() for key in ours}  # Azure takes two keys that differ in case for one.
    room = [(key, value) for key, value in theirs.items() if key.lower() not in small]
    return {**dict(room[: MOST_TAGS - len(ours)]), **ours}


def _key(text: str) -> str:
    return "".join("-" if letter in NOT_IN_KEYS else letter for letter in text)[:LONGEST_KEY]


def request(spec: InstanceSpec, image: Image, place: Place, *, key: str) -> dict[str, Any]:
    """Return the machine that is wanted: with all that goes when it goes.

    It gets no identity, so no token of the subscription; of `key`, without which Azure makes no
    machine, nobody has the private half.
    """
    spot = {
        "priority": "Spot",
        "evictionPolicy": "Delete",
        "billingProfile": {"maxPrice": -1.0},
    }
    return {
        "location": spec.offer.region,
        "tags": tags_of(spec),
        "properties": {
            "hardwareProfile": {"vmSize": spec.offer.instance},
            "storageProfile": _storage(spec, image),
            "osProfile": _system(spec, key),
            "networkProfile": _network(spec, place),
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
            **(spot if spec.offer.spot else {}),
        },
    }


def _storage(spec: InstanceSpec, image: Image) -> dict[str, Any]:
    wanted = max(-(-spec.disk_mib // MIB_PER_GIB), image.smallest_gib)
    return {
        "imageReference": {
            "publisher": image.publisher,
            "offer": image.offer,
            "sku": image.sku,
            "version": "latest",
        },
        "osDisk": {
            "createOption": "FromImage",
            "deleteOption": "Delete",
            "diskSizeGB": wanted,
            # The only one that every size takes and that is no hard disk.
            "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
        },
    }


def _system(spec: InstanceSpec, key: str) -> dict[str, Any]:
    path = f"/home/{USER}/.ssh/authorized_keys"
    return {
        "computerName": spec.boot.name,
        "adminUsername": USER,
        "customData": base64.b64encode(spec.user_data.encode()).decode(),
        "linuxConfiguration": {
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [{"path": path, "keyData": key}]},
        },
    }


def _network(spec: InstanceSpec, place: Place) -> dict[str, Any]:
    address = {
        "name": f"{spec.boot.name}-ip",
        "sku": {"name": "Standard"},
        "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
    }
    config = {
        "name": "main",
        "properties": {
            "primary": True,
            "subnet": {"id": place.subnet},
            "publicIPAddressConfiguration": address,
        },
    }
    interface = {
        "name": f"{spec.boot.name}-nic",
        "tags": tags_of(spec),
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "networkSecurityGroup": {"id": place.group},
            "ipConfigurations": [config],
        },
    }
    return {
        "networkApiVersion": NETWORK_VERSION,
        "networkInterfaceConfigurations": [interface],
    }
