"""What Google is asked for a machine: type, GPUs, disk, network, what it boots with. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from apps.backends.base import InstanceSpec
from apps.backends.providers.gcp import labels
from apps.backends.providers.gcp.images import Image

MIB_PER_GIB = 1024
SMALLEST_GIB = 10
# Cards that are attached to machines of the series n1, in which no type has any by itself.
ATTACHED = {
    "t4": "nvidia-tesla-t4",
    "p4": "nvidia-tesla-p4",
    "v100": "nvidia-tesla-v100",
    "p100": "nvidia-tesla-p100",
}
# These series take no other disks.
HYPERDISK = re.compile(r"^(c4|c4a|c4d|n4|n4a|n4d|a4|a4x|g4|h4d|m4|x4|a3-ultragpu)-")


class Shape(NamedTuple):
    """A type of machine, and what is attached to it."""

    machine_type: str
    card: str = ""
    cards: int = 0


def shape_of(instance: str) -> Shape:
    """Read the name of an offer: `n1-standard-8-t4x2` is an n1-standard-8 with two T4."""
    found = re.fullmatch(rf"(n1-.+)-({'|'.join(ATTACHED)})x(\d+)", instance)
    if found is None:
        return Shape(instance)
    return Shape(found[1], ATTACHED[found[2]], int(found[3]))


def name_of(machine_type: str, card: str, count: int) -> str:
    """Return the name of an offer of a machine with cards that are attached."""
    short = next(name for name, each in ATTACHED.items() if each == card)
    return f"{machine_type}-{short}x{count}"


def request(
    spec: InstanceSpec, image: Image, zone: str, *, project: str, network: str, marks: Sequence[str]
) -> dict[str, Any]:
    """Return the machine that is wanted. It gets no service account, so no token of the project."""
    shape = shape_of(spec.offer.instance)
    attached = {
        "accelerator_type": f"projects/{project}/zones/{zone}/acceleratorTypes/{shape.card}",
        "accelerator_count": shape.cards,
    }
    outside = {"name": "External NAT", "type_": "ONE_TO_ONE_NAT", "network_tier": "PREMIUM"}
    items = {"user-data": spec.user_data, "block-project-ssh-keys": "true"}
    return {
        "name": spec.boot.name,
        "description": "A machine of dstack-web",
        "machine_type": f"zones/{zone}/machineTypes/{shape.machine_type}",
        "labels": labels.of(spec),
        "disks": [_disk(spec, image, zone)],
        "network_interfaces": [{"network": network, "access_configs": [outside]}],
        "metadata": {"items": [{"key": key, "value": value} for key, value in items.items()]},
        "scheduling": _scheduling(spec),
        **({"guest_accelerators": [attached]} if shape.cards else {}),
        **({"tags": {"items": list(marks)}} if marks else {}),
    }


def _disk(spec: InstanceSpec, image: Image, zone: str) -> dict[str, Any]:
    kind = "hyperdisk-balanced" if HYPERDISK.match(spec.offer.instance) else "pd-balanced"
    wanted = max(-(-spec.disk_mib // MIB_PER_GIB), image.smallest_gib, SMALLEST_GIB)
    return {
        "boot": True,
        "auto_delete": True,
        "type_": "PERSISTENT",
        "initialize_params": {
            "source_image": image.link,
            "disk_size_gb": wanted,
            "disk_type": f"zones/{zone}/diskTypes/{kind}",
            "labels": labels.of(spec),
        },
    }


def _scheduling(spec: InstanceSpec) -> dict[str, Any]:
    """One that fails is replaced by us, so it never comes back by itself; GPUs cannot move."""
    gpu = spec.offer.hardware.gpu
    if spec.offer.spot:
        return {
            "provisioning_model": "SPOT",
            "instance_termination_action": "DELETE",
            "on_host_maintenance": "TERMINATE",
            "automatic_restart": False,
        }
    stays = "TERMINATE" if gpu is not None and gpu.count else "MIGRATE"
    return {
        "provisioning_model": "STANDARD",
        "on_host_maintenance": stays,
        "automatic_restart": False,
    }
