"""Where machines are put: a resource group of ours in each region, in which a network lets nobody
in but through the ports that single machines are to have open.

All is made once, looked for first, and the same whoever makes it: two calls at once do no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.azure import errors, library
from apps.backends.providers.azure.clients import Clients

NAME, SUBNET = "dstack-web", "machines"
BLOCK = "10.77.0.0/16"
MADE_WITHIN, FIRST_SECONDS, MOST_SECONDS = 35.0, 0.1, 2.0
# Azure's own rules, from 65000 on, let the machines of a network talk to each other.
NOBODY, FIRST_OPEN = 4096, 100


class Place(NamedTuple):
    """What a machine is put into, by Azure's ids."""

    subnet: str
    group: str


def resource_group(region: str) -> str:
    return f"{NAME}-{region}"


def ensure(clients: Clients, region: str, ports: Sequence[int]) -> Place:
    """Return where a machine with these ports open is put; what is not there is made."""
    name, group = resource_group(region), group_of(ports)
    networks, groups = clients.network.virtual_networks, clients.network.network_security_groups

    def make_network() -> None:
        clients.resources.resource_groups.create_or_update(name, {"location": region})
        networks.begin_create_or_update(name, NAME, _network(region), polling=False)

    def make_group() -> None:
        groups.begin_create_or_update(name, group, _group(region, ports), polling=False)

    network = _made(lambda: networks.get(name, NAME), make_network, f"network {NAME} in {region}")
    closed = _made(lambda: groups.get(name, group), make_group, f"security group {group}")
    return Place(f"{network['id']}/subnets/{SUBNET}", str(closed["id"]))


def group_of(ports: Sequence[int]) -> str:
    """Return the security group of machines with these ports open."""
    numbers = [str(port) for port in sorted(set(ports))]
    return "-".join([NAME, "in", *numbers] if numbers else [NAME, "closed"])[:80]


def strangers(clients: Clients) -> list[str]:
    """Return the rules that let somebody in to our machines and are none of ours."""
    found = []
    for group in clients.network.network_security_groups.list_all():
        row = group.as_dict()
        name = str(row["name"])
        if not _is_ours(str(row["id"]), str(row["location"])) or not name.startswith(f"{NAME}-"):
            continue
        known = {f"in-{port}" for port in name.removeprefix(f"{NAME}-in-").split("-")}
        for rule in row.get("properties", {}).get("securityRules", []):
            said = rule.get("properties", {})
            lets_in = (said.get("access"), said.get("direction")) == ("Allow", "Inbound")
            if lets_in and rule["name"] not in known:
                found.append(f"{rule['name']} of {name} in {row['location']}")
    return sorted(found)


def _is_ours(resource_id: str, region: str) -> bool:
    return f"/resourcegroups/{resource_group(region)}/" in resource_id.lower()


def _network(region: str) -> dict[str, Any]:
    """Every machine has an address of its own, so that none goes out by one of Azure's."""
    subnet = {
        "name": SUBNET,
        "properties": {"addressPrefix": BLOCK, "defaultOutboundAccess": False},
    }
    space = {"addressSpace": {"addressPrefixes": [BLOCK]}, "subnets": [subnet]}
    return {"location": region, "properties": space}


def _group(region: str, ports: Sequence[int]) -> dict[str, Any]:
    opened = [
        _rule(f"in-{port}", "Allow", FIRST_OPEN + number, str(port))
        for number, port in enumerate(sorted(set(ports)))
    ]
    rules = [*opened, _rule("nobody", "Deny", NOBODY, "*")]
    return {"location": region, "properties": {"securityRules": rules}}


def _rule(name: str, access: str, priority: int, port: str) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {
            "access": access,
            "direction": "Inbound",
            "priority": priority,
            "protocol": "Tcp" if access == "Allow" else "*",
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": port,
        },
    }


def _made(get: Callable[[], Any], make: Callable[[], None], what: str) -> dict[str, Any]:
    """Return it once it is there. Raise ProviderError while it is being made."""
    row = _or_none(get)
    if row is None or _state(row) == "Failed":
        make()
    until, pause = time.monotonic() + MADE_WITHIN, FIRST_SECONDS
    while True:
        row = _or_none(get) if row is None or _state(row) != "Succeeded" else row
        if row is not None and _state(row) == "Succeeded":
            return row
        if time.monotonic() >= until:
            raise ProviderError(
                f"The {what} is still being made at Azure.",
                kind=ErrorKind.THROTTLED,
                scope=Scope.BACKEND,
            )
        time.sleep(pause)
        pause = min(pause * 2, MOST_SECONDS)


def _state(row: dict[str, Any]) -> str:
    return str(row.get("properties", {}).get("provisioningState"))


def _or_none(get: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = get().as_dict()
    except library.exceptions().ResourceNotFoundError as error:
        if not errors.is_unknown(error):
            raise
        return None
    return found
