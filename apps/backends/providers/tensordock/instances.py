"""Machines: what is asked for, what their states mean, and which are ours.

There are no tags, so that a machine is found by its name: that of its boot with the beginning of
the server's id behind it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.backends.base import ErrorKind, InstanceSpec, InstanceState, InstanceStatus, ProviderError
from apps.backends.providers.tensordock.client import first, id_of
from apps.backends.providers.tensordock.places import (
    DISK_STEP_GB,
    LEAST_DISK_GB,
    Place,
    Size,
)

IMAGE = "ubuntu2404"
# With `dstack-` and a UUID before it the name is shorter than a host name may be.
SERVER_CHARACTERS = 12
LONGEST_NAME = 63
CLOUD_INIT = ("packages", "runcmd", "write_files", "package_update", "package_upgrade")
# There is a file in its place: TensorDock's object has no such key.
NO_PASSWORDS = {
    "path": "/etc/ssh/sshd_config.d/00-dstack-web.conf",
    "owner": "root:root",
    "permissions": "0644",
    "content": "PasswordAuthentication no\n",
}
RUNNING = frozenset({"running", "active", "started"})
GONE = frozenset({"deleted", "terminated", "destroyed"})
ENDING = frozenset({"deleting", "terminating", "destroying"})
FAILED = frozenset({"failed", "error", "errored", "stopped", "stoppeddisassociated", "stopping"})


def name_of(boot_name: str, server_id: str) -> str:
    """Return what a machine is called there. Raise ProviderError where that is too long."""
    name = f"{boot_name}-{mark(server_id)}"
    if len(name) > LONGEST_NAME:
        raise ProviderError("The name of the machine is too long.", kind=ErrorKind.REFUSED)
    return name


def mark(server_id: str) -> str:
    return server_id.replace("-", "")[:SERVER_CHARACTERS] or "0"


def named(rows: Iterable[Mapping[str, Any]], name: str) -> str | None:
    """Return the id of the machine of that name which is not at its end: the same one each time,
    should there ever be two."""
    those = sorted(
        (str(first(row, ("createdAt", "created_at")) or ""), id_of(row))
        for row in rows
        if row.get("name") == name and is_there(row) and id_of(row)
    )
    return those[0][1] if those else None


def ours(rows: Iterable[Mapping[str, Any]], server_id: str) -> Iterator[tuple[str, str]]:
    """Return the id of each machine of this server, and the name of its boot."""
    behind = f"-{mark(server_id)}"
    for row in rows:
        name = str(row.get("name") or "")
        if name.endswith(behind) and name != behind and is_there(row) and id_of(row):
            yield id_of(row), name.removesuffix(behind)


def is_there(row: Mapping[str, Any]) -> bool:
    return state_of(row) not in GONE | ENDING


def state_of(row: Mapping[str, Any]) -> str:
    return "".join(filter(str.isalnum, str(row.get("status") or "").lower()))


def status(row: Mapping[str, Any]) -> InstanceStatus:
    """Say what is known of it. A state that nobody documented is one of a machine in the making."""
    said = state_of(row)
    address = first(row, ("ipAddress", "ip_address"))
    if said in GONE:
        return InstanceStatus(InstanceState.GONE)
    if said in FAILED:
        told = f"TensorDock says that the machine is {row.get('status')}."
        return InstanceStatus(InstanceState.FAILED, message=told)
    runs = said in RUNNING or said in ENDING
    return InstanceStatus(
        InstanceState.RUNNING if runs else InstanceState.CREATING,
        address=str(address) if address else None,
    )


def request(spec: InstanceSpec, place: Place, size: Size, name: str) -> dict[str, Any]:
    """Return the attributes of the machine."""
    disk_gb = max(-(-spec.disk_mib // 1024), LEAST_DISK_GB)
    disk_gb += -disk_gb % DISK_STEP_GB
    # Nothing calls a machine but a gateway's ports; without forwarding it needs an address anyway.
    own_address = place.has_dedicated_ip and (bool(spec.inbound_ports) or not place.has_ports)
    return {
        "name": name,
        "type": "virtualmachine",
        "image": IMAGE,
        "resources": {
            "vcpu_count": size.cpus,
            "ram_gb": size.ram_gb,
            "storage_gb": disk_gb,
            "gpus": {size.v0_name: {"count": size.gpus}},
        },
        "location_id": place.location,
        "useDedicatedIp": own_address,
        "ssh_key": key_that_nobody_has(),
        **({"cloud_init": cloud_init(spec.user_data)} if spec.user_data else {}),
    }


def key_that_nobody_has() -> str:
    """Return a public key, which TensorDock demands; nobody logs in, so its other half is gone."""
    encoding = serialization.Encoding.OpenSSH
    made = Ed25519PrivateKey.generate().public_key()
    return made.public_bytes(encoding, serialization.PublicFormat.OpenSSH).decode()


def cloud_init(user_data: str) -> dict[str, Any]:
    """Return the boot document as the object that TensorDock takes: five keys, commands as text.

    Raise ProviderError where it would lose something.
    """
    content = dict(yaml.safe_load(user_data))
    if content.pop("ssh_pwauth", None) is False:
        content["write_files"] = [*content.get("write_files", ()), NO_PASSWORDS]
    lost = sorted(set(content) - set(CLOUD_INIT))
    if lost:
        raise ProviderError(
            f"A machine of TensorDock cannot boot with {', '.join(lost)}.", kind=ErrorKind.REFUSED
        )
    if "runcmd" in content:
        content["runcmd"] = [
            each if isinstance(each, str) else shlex.join(each) for each in content["runcmd"]
        ]
    return content
