"""Addresses that stay: one for each name of ours, made so that a call cut short leaks none.

Google's own name of one tells this server from others in the project; ours is in its description.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from typing import Any

from apps.backends.base import SERVER_TAG, Address, ErrorKind, ProviderError
from apps.backends.providers.gcp import errors, library, operations
from apps.backends.providers.gcp.clients import Clients
from apps.backends.providers.gcp.instances import Ref, find

PREFIX = "dstack-web-"
NIC, OUTSIDE = "nic0", "External NAT"
WAITED_WITHIN = 25.0


def reserve(clients: Clients, region: str, name: str, server_id: str) -> Address:
    """Return the address of this name, made where there is none yet."""
    word = PREFIX + hashlib.sha256(f"{server_id} {name}".encode()).hexdigest()[:24]
    row = _get(clients, region, word)
    if row is None:
        wanted = {
            "name": word,
            "description": json.dumps({SERVER_TAG: server_id, "name": name}),
            "address_type": "EXTERNAL",
            "network_tier": "PREMIUM",
        }
        _insert(clients, region, wanted)
        row = _get(clients, region, word)
    if row is None or not row.address:
        raise ProviderError(
            f"Google Cloud is still reserving an address in {region}.", kind=ErrorKind.THROTTLED
        )
    return _address(region, row)


def attach(clients: Clients, ref: Ref, address: Address) -> None:
    """Give it to a machine, whichever had it before."""
    region, name = _read(address.ref)
    row = _get(clients, region, name)
    machine = find(clients, ref)
    if row is None or machine is None:
        what = "address" if row is None else "machine"
        raise ProviderError(f"Google Cloud knows no such {what}.", kind=ErrorKind.REFUSED)
    [interface] = machine.network_interfaces
    has = [str(config.nat_i_p) for config in interface.access_configs]
    if has == [str(row.address)]:
        return
    _free(clients, row)
    for config in interface.access_configs:
        _take(clients, ref, str(config.name))
    wanted = {"name": OUTSIDE, "type_": "ONE_TO_ONE_NAT", "nat_i_p": row.address}
    operation = clients.call(
        "Instances",
        "add_access_config_unary",
        zone=ref.zone,
        instance=ref.name,
        network_interface=NIC,
        access_config_resource=wanted,
    )
    _done(clients, operation, zone=ref.zone)


def release(clients: Clients, address: Address) -> None:
    """Give it back; one that Google does not know was given back already."""
    region, name = _read(address.ref)
    row = _get(clients, region, name) if name.startswith(PREFIX) else None
    if row is not None:
        _free(clients, row)
        with contextlib.suppress(library.exceptions().NotFound):
            operation = clients.call("Addresses", "delete_unary", region=region, address=name)
            _done(clients, operation, region=region)


def owned(clients: Clients, server_id: str) -> list[Address]:
    found = []
    for page in clients.call("Addresses", "aggregated_list").pages:
        for scope, rows in page.items.items():
            region = scope.rpartition("/")[2]
            found += [(region, row) for row in rows.addresses if row.name.startswith(PREFIX)]
    return [_address(region, row) for region, row in found if _of(row)[0] == server_id]


def region_of(address: Address) -> str:
    """Return its region, "" for a reference that is none of ours."""
    return _read(address.ref)[0]


def _free(clients: Clients, row: Any) -> None:
    """Take it from the machine that has it."""
    for link in row.users:
        words = str(link).split("/")
        ref = Ref(words[words.index("zones") + 1], words[-1])
        machine = find(clients, ref)
        for interface in machine.network_interfaces if machine else ():
            for config in interface.access_configs:
                if config.nat_i_p == row.address:
                    _take(clients, ref, str(config.name))


def _take(clients: Clients, ref: Ref, config: str) -> None:
    operation = clients.call(
        "Instances",
        "delete_access_config_unary",
        zone=ref.zone,
        instance=ref.name,
        network_interface=NIC,
        access_config=config,
    )
    _done(clients, operation, zone=ref.zone)


def _insert(clients: Clients, region: str, wanted: dict[str, Any]) -> None:
    try:
        operation = clients.call(
            "Addresses", "insert_unary", region=region, address_resource=wanted
        )
    except library.exceptions().Conflict as error:
        if errors.of_call(error).code not in errors.EXISTS:
            raise
        return
    _done(clients, operation, region=region)


def _done(clients: Clients, operation: Any, **place: str) -> None:
    until = time.monotonic() + WAITED_WITHIN
    fault = errors.of_operation(operations.waited(clients, operation, until=until, **place))
    if fault is not None and fault.code not in errors.EXISTS:
        raise fault.told(next(iter(place.values())))


def _get(clients: Clients, region: str, name: str) -> Any:
    try:
        return clients.call("Addresses", "get", region=region, address=name)
    except library.exceptions().NotFound:
        return None


def _address(region: str, row: Any) -> Address:
    ref = json.dumps({"region": region, "name": str(row.name)})
    return Address(ref=ref, ip=str(row.address), name=_of(row)[1])


def _of(row: Any) -> tuple[str, str]:
    """Return the server that it is of, and our name of it."""
    try:
        said = json.loads(row.description)
        return str(said[SERVER_TAG]), str(said["name"])
    except (ValueError, TypeError, KeyError):
        return "", ""


def _read(ref: str) -> tuple[str, str]:
    try:
        content = json.loads(ref)
        return str(content["region"]), str(content["name"])
    except (ValueError, TypeError, KeyError):
        return "", ""
