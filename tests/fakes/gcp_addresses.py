"""How the fake Google Cloud reserves addresses and gives them to machines."""

from __future__ import annotations

from typing import Any

from tests.fakes.gcp_machines import Asked, Refused, begin, get_instance, not_found
from tests.fakes.gcp_world import ZONES, World


def insert(world: World, asked: Asked) -> dict[str, Any]:
    body, region = asked["body"], asked["region"]
    if region not in ZONES:
        raise not_found(f"regions/{region}")
    key = (region, body["name"])
    if key in world.addresses:
        raise Refused(409, "alreadyExists", f"The resource '{body['name']}' already exists")
    link = world.link("regions", region, "addresses", body["name"])
    # For documentation alone (RFC 5737): nobody answers there.
    ip = f"198.51.100.{world.number() % 250 + 1}"
    row = {"kind": "compute#address", "address": ip, "status": "RESERVED", "selfLink": link}
    world.addresses[key] = {**body, **row, "region": world.link("regions", region)}
    return begin(world, asked, "insert", link)


def get(world: World, asked: Asked) -> dict[str, Any]:
    found = world.addresses.get((asked["region"], asked["address"]))
    if found is None:
        raise not_found(f"regions/{asked['region']}/addresses/{asked['address']}")
    users = [row["selfLink"] for row in world.instances.values() if found["address"] in _ips(row)]
    return {**found, "status": "IN_USE" if users else "RESERVED", "users": users}


def delete(world: World, asked: Asked) -> dict[str, Any]:
    row = get(world, asked)
    if row["users"]:
        raise Refused(400, "resourceInUseByAnotherResource", "The address is in use")
    del world.addresses[asked["region"], asked["address"]]
    return begin(world, asked, "delete", row["selfLink"])


def every(world: World, _: Asked) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for region in ZONES:
        rows = [
            get(world, {"region": of, "address": name})
            for of, name in world.addresses
            if of == region
        ]
        warning = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "No results."}}
        items[f"regions/{region}"] = {"addresses": rows} if rows else warning
    return {"kind": "compute#addressAggregatedList", "items": items}


def add_config(world: World, asked: Asked) -> dict[str, Any]:
    row, config = get_instance(world, asked), dict(asked["body"])
    [interface] = row["networkInterfaces"]
    if interface["accessConfigs"]:
        raise Refused(400, "invalid", "At most one access config can be specified")
    if any(config["natIP"] in _ips(each) for each in world.instances.values()):
        raise Refused(400, "resourceInUseByAnotherResource", "The address is in use")
    interface["accessConfigs"] = [config]
    return begin(world, asked, "addAccessConfig", row["selfLink"])


def delete_config(world: World, asked: Asked) -> dict[str, Any]:
    row = get_instance(world, asked)
    [interface] = row["networkInterfaces"]
    left = [each for each in interface["accessConfigs"] if each["name"] != asked["accessConfig"]]
    if len(left) == len(interface["accessConfigs"]):
        raise Refused(400, "invalid", f"no access config {asked['accessConfig']}")
    interface["accessConfigs"] = left
    return begin(world, asked, "deleteAccessConfig", row["selfLink"])


def _ips(row: dict[str, Any]) -> list[str]:
    configs = [each for one in row["networkInterfaces"] for each in one["accessConfigs"]]
    return [str(each.get("natIP", "")) for each in configs]
