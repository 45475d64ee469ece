"""How the fake Azure makes, shows and ends machines with their parts, networks and groups."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from apps.backends.providers.azure.errors import OF_OPERATIONS
from tests.fakes import azure_schema as schema
from tests.fakes.azure_world import (
    IMAGES,
    REGIONS,
    SENTENCES,
    SIZES,
    SUBSCRIPTION,
    Operation,
    World,
    remove,
)

VM = "Microsoft.Compute/virtualMachines"
KEY = re.compile(r"(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]{60,}")
COMPUTER = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?")


class Refused(Exception):
    """What is answered in place of what was asked for."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        said = message or SENTENCES.get(code, f"Azure says {code}")
        super().__init__(said)
        self.status, self.code, self.message = status, code, said


def fault(code: str) -> dict[str, Any]:
    return {"code": code, "message": SENTENCES.get(code, f"Azure says {code}")}


def resource_id(group: str, kind: str, name: str) -> str:
    place = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
    return f"{place}/providers/{kind}/{name}" if kind else place


def begin(
    world: World,
    region: str,
    *,
    seconds: float | None = None,
    ends: Callable[[], object] = lambda: None,
    error: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Begin an operation, and return the header that says where to ask about it."""
    name = f"00000000-0000-4000-8000-{world.number():012d}"
    row = {"name": name, "status": "InProgress", "startTime": "2026-11-01T00:00:00.0000000+00:00"}
    length = world.faults.seconds if seconds is None else seconds
    world.operations[name] = Operation(row, world.now() + length, ends, error)
    where = f"{world.url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations"
    return {"Azure-AsyncOperation": f"{where}/{region}/operations/{name}?api-version=2026-04-01"}


def get(world: World, resource: str) -> dict[str, Any]:
    found = world.resources.get(resource.lower())
    if found is None:
        group = resource.split("/")[4]
        if resource_id(group, "", "").lower() not in world.resources:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' is not found.")
        raise Refused(404, "ResourceNotFound", f"The Resource '{resource}' was not found.")
    return found


def put_group(world: World, resource: str, body: Mapping[str, Any]) -> dict[str, Any]:
    schema.check_request(schema.RESOURCES, "ResourceGroup", body)
    _place(body)
    name = resource.rpartition("/")[2]
    row = {
        **body,
        "id": resource_id(name, "", ""),
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "properties": {"provisioningState": "Succeeded"},
    }
    world.resources[resource.lower()] = row
    return row


def put_of_network(
    world: World, resource: str, body: Mapping[str, Any], model: str
) -> dict[str, Any]:
    schema.check_request(schema.NETWORK, model, body)
    _place(body)
    _group_of(world, resource)
    words = resource.split("/")
    said = dict(body.get("properties", {}), provisioningState="Succeeded")
    for part in ("subnets", "securityRules"):
        if part in said:
            said[part] = [_part(resource, part, row) for row in said[part]]
    row = {
        **body,
        "id": resource,
        "name": words[-1],
        "type": f"{words[6]}/{words[7]}",
        "properties": said,
    }
    world.resources[resource.lower()] = row
    return row


def _part(resource: str, part: str, row: Mapping[str, Any]) -> dict[str, Any]:
    said = {**row.get("properties", {}), "provisioningState": "Succeeded"}
    return {**row, "id": f"{resource}/{part}/{row['name']}", "properties": said}


def _place(body: Mapping[str, Any]) -> str:
    if body["location"] not in REGIONS:
        raise Refused(400, "LocationNotAvailableForResourceType")
    return str(body["location"])


def _group_of(world: World, resource: str) -> None:
    group = resource.split("/")[4]
    if resource_id(group, "", "").lower() not in world.resources:
        raise Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' is not found.")


def put_machine(
    world: World, resource: str, body: dict[str, Any], condition: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Begin to make a machine, with its disk, network interface and address."""
    schema.check_request(schema.COMPUTE, "VirtualMachine", body)
    region, name = _place(body), resource.rpartition("/")[2]
    _group_of(world, resource)
    world.faults.conditions.append(condition)
    if resource.lower() in world.resources:
        if condition == "*":
            raise Refused(412, "PreconditionFailed")
        raise Refused(409, "PropertyChangeNotAllowed")
    code = world.faults.refused.get("PUT virtualMachines", "")
    _check(world, body)
    size = body["properties"]["hardwareProfile"]["vmSize"]
    if (size, region) in world.faults.full:
        code = "AllocationFailed"
    _check_quota(world, region, size)
    row = _row(world, resource, name, body)
    failed = fault(code) if code in OF_OPERATIONS else None
    world.resources[resource.lower()] = row
    for part in row["parts"]:
        kind = part.split("/")[7]
        world.resources[part.lower()] = {"id": part, "type": f"x/{kind}", "name": part[-40:]}
    headers = begin(world, region, ends=lambda: _made(row, failed), error=failed)
    if failed is None:
        world.faults.made.append({**body, "name": name})
    return row, headers


def _made(row: dict[str, Any], failed: dict[str, Any] | None) -> None:
    if row["state"] == "Creating":
        row["state"], row["error"] = ("Failed", failed) if failed else ("Succeeded", None)


def _check(world: World, body: dict[str, Any]) -> None:
    """Raise Refused for what Microsoft's models allow and Azure does not."""
    said = body["properties"]
    size = said["hardwareProfile"]["vmSize"]
    if size not in SIZES:
        raise Refused(400, "InvalidParameter", f"The value {size} of vmSize is invalid.")
    _check_disk(size, said["storageProfile"])
    _check_spot(size, said)
    _check_system(said["osProfile"])
    _check_network(world, said["networkProfile"])
    tags = body.get("tags", {})
    if len(tags) > 50 or any(set("<>%&\\?/") & set(key) for key in tags):
        raise Refused(400, "InvalidTagNameCharacters")


def _check_disk(size: str, said: Mapping[str, Any]) -> None:
    image, disk = said["imageReference"], said["osDisk"]
    known = IMAGES.get((image["publisher"], image["offer"], image["sku"]))
    if known is None or image["version"] != "latest":
        raise Refused(404, "PlatformImageNotFound")
    if known[0] != SIZES[size][2] or "V2" not in SIZES[size][6]:
        raise Refused(400, "BadRequest", f"The size {size} cannot boot such an image.")
    if disk["diskSizeGB"] < known[1]:
        raise Refused(400, "OperationNotAllowed", "The specified disk size is too small.")


def _check_spot(size: str, said: Mapping[str, Any]) -> None:
    if said.get("priority") == "Spot":
        if not SIZES[size][4]:
            raise Refused(400, "BadRequest", "The VM size does not support Azure Spot.")
    elif "evictionPolicy" in said or "billingProfile" in said:
        raise Refused(400, "InvalidParameter", "evictionPolicy is for Azure Spot machines alone.")


def _check_system(said: Mapping[str, Any]) -> None:
    linux = said["linuxConfiguration"]
    keys = [each["keyData"] for each in linux["ssh"]["publicKeys"]]
    if not keys or not all(KEY.match(key) for key in keys):
        raise Refused(400, "InvalidParameter", "The value of ssh.publicKeys is invalid.")
    path = f"/home/{said['adminUsername']}/.ssh/authorized_keys"
    if any(each["path"] != path for each in linux["ssh"]["publicKeys"]):
        raise Refused(400, "InvalidParameter", "The path of a key is that of its user alone.")
    if not linux["disablePasswordAuthentication"]:
        raise Refused(400, "InvalidParameter", "There is no password.")
    if not COMPUTER.fullmatch(said["computerName"]):
        raise Refused(400, "InvalidParameter", "The value of computerName is invalid.")
    if len(base64.b64decode(said["customData"], validate=True)) > 65_535:
        raise Refused(400, "InvalidParameter", "Custom data is too long.")


def _check_network(world: World, said: Mapping[str, Any]) -> None:
    [interface] = said["networkInterfaceConfigurations"]
    group = interface["properties"]["networkSecurityGroup"]["id"]
    [config] = interface["properties"]["ipConfigurations"]
    subnet, _, name = config["properties"]["subnet"]["id"].partition("/subnets/")
    network = world.resources.get(subnet.lower())
    names = [each["name"] for each in network["properties"]["subnets"]] if network else []
    if group.lower() not in world.resources or name not in names:
        raise Refused(400, "InvalidResourceReference")
    if said["networkApiVersion"] != "2022-11-01":
        raise Refused(400, "InvalidParameter", "networkApiVersion is invalid.")
    address = config["properties"]["publicIPAddressConfiguration"]
    is_static = address["properties"]["publicIPAllocationMethod"] == "Static"
    if address["sku"]["name"] == "Standard" and not is_static:
        raise Refused(400, "StandardSkuPublicIPAddressesMustBeStatic")


def _check_quota(world: World, region: str, size: str) -> None:
    limit = world.faults.quotas.get(region)
    used = sum(
        SIZES[row["body"]["properties"]["hardwareProfile"]["vmSize"]][0]
        for row in world.machines().values()
        if row["body"]["location"] == region
    )
    if limit is not None and used + SIZES[size][0] > limit:
        raise Refused(409, "OperationNotAllowed")


def _row(world: World, resource: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    group = resource.split("/")[4]
    said = body["properties"]
    [interface] = said["networkProfile"]["networkInterfaceConfigurations"]
    [config] = interface["properties"]["ipConfigurations"]
    address = config["properties"]["publicIPAddressConfiguration"]
    parts = {
        resource_id(group, "Microsoft.Network/networkInterfaces", interface["name"]): interface,
        resource_id(group, "Microsoft.Network/publicIPAddresses", address["name"]): address,
    }
    kept = [key for key, part in parts.items() if part["properties"]["deleteOption"] != "Delete"]
    assert kept == [], "the fake knows no machine whose parts stay"
    assert said["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
    disk = resource_id(group, "Microsoft.Compute/disks", f"{name}_OsDisk_1")
    return {
        "id": resource,
        "name": name,
        "type": VM,
        "body": body,
        "state": "Creating",
        "power": "running",
        "error": None,
        # An address for documentation alone (RFC 5737): nobody answers there.
        "address": f"203.0.113.{world.number() % 250 + 1}",
        "parts": [*parts, disk],
    }


def delete_machine(world: World, resource: str) -> dict[str, str]:
    row = get(world, resource)
    row["state"] = "Deleting"

    def ends() -> None:
        if world.resources.get(resource.lower()) is row:
            remove(world, row)

    headers = begin(world, row["body"]["location"], ends=ends)
    world.settle()
    return headers


def shown(row: Mapping[str, Any], *, with_view: bool) -> dict[str, Any]:
    """Return a machine as Azure shows it: without what it boots with, and with its parts."""
    said = {**row["body"]["properties"], "provisioningState": row["state"]}
    said["osProfile"] = {
        key: value for key, value in said["osProfile"].items() if key != "customData"
    }
    nic = {"id": row["parts"][0], "properties": {"deleteOption": "Delete", "primary": True}}
    said["networkProfile"] = {"networkInterfaces": [nic]}
    if with_view:
        said["instanceView"] = {"statuses": _statuses(row)}
    plain = {key: row[key] for key in ("id", "name", "type")}
    if not with_view:  # Lists write the group of a resource in capitals.
        plain["id"] = plain["id"].replace("/dstack-web-", "/DSTACK-WEB-")
    return {**row["body"], **plain, "properties": said}


def _statuses(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    state, error = str(row["state"]).lower(), row["error"]
    if error is not None:
        code = f"ProvisioningState/failed/{error['code']}"
        failed = {"level": "Error", "displayStatus": "Provisioning failed"}
        found = [{"code": code, **failed, "message": error["message"]}]
        return found + ([_power(row)] if row.get("was_made") else [])
    found = [{"code": f"ProvisioningState/{state}", "level": "Info", "displayStatus": row["state"]}]
    return found + ([_power(row)] if row["state"] != "Creating" else [])


def _power(row: Mapping[str, Any]) -> dict[str, Any]:
    word = row["power"]
    return {"code": f"PowerState/{word}", "level": "Info", "displayStatus": f"VM {word}"}


def interface(world: World, resource: str) -> dict[str, Any]:
    """Return the network interface of a machine, with its address."""
    owner = next(
        (row for row in world.machines().values() if row["parts"][0].lower() == resource.lower()),
        None,
    )
    if owner is None:
        raise Refused(404, "ResourceNotFound")
    address = {"ipAddress": owner["address"], "publicIPAllocationMethod": "Static"}
    config = {"primary": True, "privateIPAddress": "10.77.0.4", "provisioningState": "Succeeded"}
    config["publicIPAddress"] = {"id": owner["parts"][1], "properties": address}
    return {
        "id": owner["parts"][0],
        "name": owner["parts"][0].rpartition("/")[2],
        "type": "Microsoft.Network/networkInterfaces",
        "location": owner["body"]["location"],
        "properties": {"ipConfigurations": [{"name": "main", "properties": config}]},
    }
