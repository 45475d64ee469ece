"""What the fake Google Cloud says it has: zones, types, prices, rules, addresses, operations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes import gcp_addresses as addresses
from tests.fakes import gcp_machines as machines
from tests.fakes.gcp_machines import Asked, Refused, begin, not_found
from tests.fakes.gcp_world import FAMILIES, PROJECT, TYPES, ZONES, World

SCOPES_OF_PAGE, SKUS_OF_PAGE = 4, 10
EVERY_ZONE = [zone for zones in ZONES.values() for zone in zones]


def named(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": f"compute#{kind}List", "items": rows}


def regions(world: World, _: Asked) -> dict[str, Any]:
    return named("region", [region(world, {"region": name}) for name in ZONES])


def region(world: World, asked: Asked) -> dict[str, Any]:
    name = asked["region"]
    if name not in ZONES:
        raise not_found(f"projects/{PROJECT}/regions/{name}")
    limits = {"CPUS": 72.0, "NVIDIA_L4_GPUS": 1.0}
    limits |= {key: value for (of, key), value in world.faults.quotas.items() if of == name}
    quotas = [{"metric": key, "limit": value, "usage": 0.0} for key, value in limits.items()]
    return {"kind": "compute#region", "name": name, "status": "UP", "quotas": quotas}


def zones(world: World, _: Asked) -> dict[str, Any]:
    rows = [
        {"name": zone, "status": "UP", "region": world.link("regions", region)}
        for region, zones in ZONES.items()
        for zone in zones
    ]
    return named("zone", [{"kind": "compute#zone", **row} for row in rows])


def project(world: World, _: Asked) -> dict[str, Any]:
    quotas = [{"metric": "GPUS_ALL_REGIONS", "limit": 1.0, "usage": 0.0}]
    return {"kind": "compute#project", "name": PROJECT, "quotas": quotas}


def machine_types(world: World, asked: Asked) -> dict[str, Any]:
    rows = []
    for name, (cpus, memory, arch, card, count, partitions) in TYPES.items():
        row: dict[str, Any] = {"name": name, "guestCpus": cpus, "memoryMb": memory}
        row |= {"architecture": arch, "isSharedCpu": name.endswith("-micro")}
        if card:
            card_row = {"guestAcceleratorType": card, "guestAcceleratorCount": count}
            row["accelerators"] = [card_row]
        if partitions:
            row["bundledLocalSsds"] = {"partitionCount": partitions, "defaultInterface": "NVME"}
        if not card or asked["zone"].endswith(("-a", "-b")):
            rows.append({"kind": "compute#machineType", **row})
    return named("machineType", rows)


def accelerator_types(world: World, asked: Asked) -> dict[str, Any]:
    names = ["nvidia-tesla-t4", "nvidia-l4"] if asked["zone"].endswith(("-a", "-b")) else []
    rows = [{"kind": "compute#acceleratorType", "name": name} for name in names]
    return named("acceleratorType", rows)


def image_of_family(world: World, asked: Asked) -> dict[str, Any]:
    key = (asked["project"], asked["family"])
    if key not in FAMILIES:
        raise not_found(f"projects/{key[0]}/global/images/family/{key[1]}")
    row = {"name": f"{key[1]}-v20261101", "family": key[1], "status": "READY"}
    return {"kind": "compute#image", "diskSizeGb": str(FAMILIES[key]), **row}


def skus(world: World, asked: Asked) -> dict[str, Any]:
    assert asked["currencyCode"] == "USD"
    start = int(asked.get("pageToken") or 0)
    after = start + SKUS_OF_PAGE
    more = {"nextPageToken": str(after)} if after < len(world.faults.skus) else {}
    return {"skus": world.faults.skus[start:after], **more}


def test_permissions(world: World, asked: Asked) -> dict[str, Any]:
    wanted = asked["body"]["permissions"]
    return {"permissions": [each for each in wanted if each not in world.faults.denied]}


def instances(world: World, asked: Asked) -> dict[str, Any]:
    """List by scope, some scopes a page; a zone that is away has a warning in their place."""
    start = int(asked.get("pageToken") or 0)
    items: dict[str, Any] = {}
    for zone in EVERY_ZONE[start : start + SCOPES_OF_PAGE]:
        rows = [row for (of, _), row in world.instances.items() if of == zone]
        found = [row for row in rows if matches(row, asked.get("filter", ""))]
        code = "UNREACHABLE" if zone in world.faults.unreachable else "NO_RESULTS_ON_PAGE"
        warning = {"code": code, "message": f"No results for the scope 'zones/{zone}'."}
        is_told = found and zone not in world.faults.unreachable
        items[f"zones/{zone}"] = {"instances": found} if is_told else {"warning": warning}
    answer: dict[str, Any] = {"kind": "compute#instanceAggregatedList", "items": items}
    if start + SCOPES_OF_PAGE < len(EVERY_ZONE):
        answer["nextPageToken"] = str(start + SCOPES_OF_PAGE)
    return answer


def matches(row: Mapping[str, Any], wanted: str) -> bool:
    """Understand `name = "x"`, `labels.key = "x"` and `targetLink eq "regular expression"`."""
    if not wanted:
        return True
    found = re.fullmatch(r'([\w.-]+) (=|eq) "([^"]*)"', wanted)
    if found is None:
        raise Refused(400, "invalid", f"Invalid value for field 'filter': '{wanted}'.")
    key, how, value = found.groups()
    label = key.removeprefix("labels.")
    has = str(row.get("labels", {}).get(label, "") if label != key else row.get(key, ""))
    return bool(re.fullmatch(value, has)) if how == "eq" else has == value


def operation(world: World, asked: Asked) -> dict[str, Any]:
    found = world.operations.get(asked["operation"])
    if found is None:
        raise not_found(f"operations/{asked['operation']}")
    return found.row


def zone_operations(world: World, asked: Asked) -> dict[str, Any]:
    mine = world.link("zones", asked["zone"])
    rows = [each.row for each in world.operations.values() if each.row.get("zone") == mine]
    found = [row for row in rows if matches(row, asked.get("filter", ""))]
    return named("operation", found)


def of_project(kind: str, kept: str, word: str) -> dict[str, Callable[[World, Asked], Any]]:
    """Return how resources of the whole project are made, shown and listed."""

    def get(world: World, asked: Asked) -> dict[str, Any]:
        found: dict[str, Any] | None = getattr(world, kept).get(asked[word])
        if found is None:
            raise not_found(f"projects/{PROJECT}/global/{kept}/{asked[word]}")
        return found

    def insert(world: World, asked: Asked) -> dict[str, Any]:
        body = asked["body"]
        if body["name"] in getattr(world, kept):
            raise Refused(409, "alreadyExists", f"The resource '{body['name']}' already exists")
        link = world.link("global", kept, body["name"])
        row = {"kind": f"compute#{kind}", "id": str(world.number()), "selfLink": link, **body}
        if "network" in row:
            row["network"] = world.link("global", "networks", row["network"].rpartition("/")[2])
        getattr(world, kept)[body["name"]] = row
        return begin(world, {}, "insert", link)

    def every(world: World, _: Asked) -> dict[str, Any]:
        return named(kind, list(getattr(world, kept).values()))

    return {
        f"compute.{kept}.get": get,
        f"compute.{kept}.insert": insert,
        f"compute.{kept}.list": every,
    }


ANSWERS: dict[str, Callable[[World, Asked], Any]] = {
    "compute.instances.insert": machines.insert_instance,
    "compute.instances.get": machines.get_instance,
    "compute.instances.delete": machines.delete_instance,
    "compute.instances.getSerialPortOutput": machines.console,
    "compute.instances.aggregatedList": instances,
    "compute.instances.addAccessConfig": addresses.add_config,
    "compute.instances.deleteAccessConfig": addresses.delete_config,
    "compute.addresses.get": addresses.get,
    "compute.addresses.insert": addresses.insert,
    "compute.addresses.delete": addresses.delete,
    "compute.addresses.aggregatedList": addresses.every,
    "compute.zoneOperations.get": operation,
    "compute.zoneOperations.list": zone_operations,
    "compute.regionOperations.get": operation,
    "compute.globalOperations.get": operation,
    "compute.regions.list": regions,
    "compute.regions.get": region,
    "compute.zones.list": zones,
    "compute.projects.get": project,
    "compute.machineTypes.list": machine_types,
    "compute.acceleratorTypes.list": accelerator_types,
    "compute.images.getFromFamily": image_of_family,
    "cloudbilling.services.skus.list": skus,
    "cloudresourcemanager.projects.testIamPermissions": test_permissions,
    **of_project("network", "networks", "network"),
    **of_project("firewall", "firewalls", "firewall"),
}
