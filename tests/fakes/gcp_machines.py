"""How the fake Google Cloud makes, shows and ends machines, networks, rules and addresses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from apps.backends.providers.gcp.errors import OF_OPERATIONS
from tests.fakes import gcp_world
from tests.fakes.gcp_world import CAPACITY, FAMILIES, PROJECT, TYPES, ZONES, Operation, World, stamp

Asked = Mapping[str, Any]
LABEL = re.compile(r"[a-z0-9_-]{0,63}")


class Refused(Exception):
    """What is answered in place of what was asked for."""

    def __init__(self, status: int, reason: str, message: str = "Google says no") -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def begin(
    world: World,
    asked: Asked,
    kind: str,
    target: str,
    *,
    ends: Callable[[], object] = lambda: None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Begin an operation and return what is answered: never that it is done already."""
    number = world.number()
    name = f"operation-{number}"
    row: dict[str, Any] = {
        "kind": "compute#operation",
        "id": str(number),
        "name": name,
        "operationType": kind,
        "targetLink": target,
        "status": "RUNNING",
        "insertTime": stamp(),
        "progress": 0,
    }
    for place in ("zone", "region"):
        if place in asked:
            row[place] = world.link(f"{place}s", asked[place])
    over_at = time.monotonic() + world.faults.seconds
    world.operations[name] = Operation(row, over_at, ends, error)
    if "requestId" in asked:
        world.requests[kind, asked["requestId"]] = name
    return dict(row)


def failed(code: str, message: str, **details: Any) -> dict[str, Any]:
    """What an operation that failed has; details as Google gave them in reports of others."""
    each: dict[str, Any] = {"code": code, "message": message}
    if details:
        each["errorDetails"] = [details]
    status = 403 if code == "QUOTA_EXCEEDED" else 503
    return {
        "error": {"errors": [each]},
        "httpErrorStatusCode": status,
        "httpErrorMessage": "FORBIDDEN" if status == 403 else "SERVICE UNAVAILABLE",
    }


def insert_instance(world: World, asked: Asked) -> dict[str, Any]:
    body, zone = dict(asked["body"]), str(asked["zone"])
    name, target = body["name"], world.link("zones", zone, "instances", body["name"])
    if known := _begun_before(world, asked):
        return known
    _check(world, zone, body)
    if (zone, name) in world.instances:
        raise Refused(409, "alreadyExists", f"The resource 'instances/{name}' already exists")
    error, row = _fault(world, asked, body), _row(world, zone, body, target)
    if not world.faults.unseen:
        world.instances[zone, name] = row
    ends = partial(_made, world, (zone, name), row, is_well=error is None)
    answer = begin(world, asked, "insert", target, ends=ends, error=error)
    if error is None:
        world.faults.made.append({**body, "zone": zone})
        if world.faults.lost:
            world.faults.lost -= 1
            raise Refused(503, "", "")
    return answer


def _begun_before(world: World, asked: Asked) -> dict[str, Any] | None:
    """Return the operation that a request of this id began."""
    if "requestId" not in asked:
        return None
    if UUID(asked["requestId"]).int == 0:
        raise Refused(400, "invalid", "Invalid value for field 'requestId'")
    known = world.requests.get(("insert", asked["requestId"]))
    return dict(world.operations[known].row) if known else None


def _made(world: World, key: tuple[str, str], row: dict[str, Any], *, is_well: bool) -> None:
    """End the making of a machine: it runs, or is not there."""
    if not is_well:
        if world.instances.get(key) is row:
            del world.instances[key]
        return
    if world.faults.unseen:
        world.instances[key] = row
    if row["status"] == "PROVISIONING":
        row["status"] = "RUNNING"


def _check(world: World, zone: str, body: dict[str, Any]) -> None:
    """Raise Refused for what Google's description allows and Google does not."""
    kind = body["machineType"].rpartition("/")[2]
    cards = body.get("guestAccelerators", [])
    scheduling = body.get("scheduling", {})
    if kind not in TYPES or not body["machineType"].startswith(f"zones/{zone}/machineTypes/"):
        raise Refused(400, "invalid", f"Invalid value for field 'machineType': '{kind}'")
    has_card = bool(cards) or TYPES[kind][4] > 0
    if cards and not kind.startswith("n1-"):
        raise Refused(400, "invalid", f"[{kind}] cannot have accelerators attached.")
    stays = scheduling.get("onHostMaintenance", "MIGRATE") == "MIGRATE"
    if stays and (has_card or scheduling.get("provisioningModel") == "SPOT"):
        raise Refused(400, "badRequest", "Such instances do not support live migration.")
    if scheduling.get("provisioningModel") == "SPOT" and scheduling.get("automaticRestart", True):
        raise Refused(400, "invalid", "Spot instances cannot restart by themselves.")
    for key, value in body.get("labels", {}).items():
        if not LABEL.fullmatch(value) or not LABEL.fullmatch(key) or not key[:1].isalpha():
            raise Refused(400, "invalid", f"Invalid value for field 'labels': '{key}: {value}'")
    _check_parts(world, kind, body)


def _check_parts(world: World, kind: str, body: dict[str, Any]) -> None:
    [interface], [disk] = body["networkInterfaces"], body["disks"]
    network = interface["network"].rpartition("/")[2]
    if network not in world.networks:
        raise Refused(400, "invalid", f"The network '{network}' was not found")
    wanted = disk["initializeParams"]
    project, _, image = wanted["sourceImage"].removeprefix("projects/").partition("/")
    families = [(of, family) for of, family in FAMILIES if image.endswith(f"/{family}-v20261101")]
    if not families or families[0][0] != project:
        raise Refused(404, "notFound", f"The image '{image}' was not found")
    if int(wanted["diskSizeGb"]) < FAMILIES[families[0]]:
        raise Refused(400, "invalid", "The disk is smaller than the image.")
    if kind.startswith(gcp_world.HYPERDISK_ONLY) and "/hyperdisk" not in wanted["diskType"]:
        raise Refused(400, "invalid", f"[pd-balanced] cannot be used by {kind}.")


def _fault(world: World, asked: Asked, body: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the operation is to end with, None where it ends well."""
    kind, zone = body["machineType"].rpartition("/")[2], str(asked["zone"])
    code = world.faults.refused.get("compute.instances.insert", "")
    if code in OF_OPERATIONS:
        return failed(code, f"Google says {code}")
    if (kind, zone) in world.faults.full or asked["fate"] == "full":
        free = [each for each in ZONES[region_of(zone)] if (kind, each) not in world.faults.full]
        info = {
            "reason": "resource_availability",
            "domain": "compute.googleapis.com",
            "metadatas": {"vmType": kind, "zone": zone, "zonesAvailable": ",".join(free)},
        }
        said = f"The zone '{zone}' does not have enough resources available."
        return failed(CAPACITY, said, errorInfo=info)
    region = region_of(zone)
    limit = world.faults.quotas.get((region, "CPUS"))
    used = sum(
        TYPES[row["machineType"].rpartition("/")[2]][0]
        for (where, _), row in world.instances.items()
        if region_of(where) == region
    )
    if limit is not None and used + TYPES[kind][0] > limit:
        quota: dict[str, Any] = {
            "metricName": "compute.googleapis.com/cpus",
            "limitName": "CPUS",
            "limit": limit,
        }
        said = f"Quota 'CPUS' exceeded.  Limit: {limit} in region {region}."
        return failed("QUOTA_EXCEEDED", said, quotaInfo=quota)
    return None


def _row(world: World, zone: str, body: dict[str, Any], target: str) -> dict[str, Any]:
    kind = body["machineType"].rpartition("/")[2]
    [interface] = body["networkInterfaces"]
    # Addresses for documentation alone (RFC 5737): nobody answers there.
    configs = [
        {**config, "natIP": f"203.0.113.{world.count % 250 + 1}"}
        for config in interface.get("accessConfigs", [])
    ]
    seen = {**interface, "name": "nic0", "networkIP": "10.128.0.2", "accessConfigs": configs}
    return {
        **body,
        "kind": "compute#instance",
        "id": str(world.number()),
        "status": "PROVISIONING",
        "creationTimestamp": stamp(),
        "selfLink": target,
        "zone": world.link("zones", zone),
        "machineType": world.link("zones", zone, "machineTypes", kind),
        "networkInterfaces": [seen],
    }


def get_instance(world: World, asked: Asked) -> dict[str, Any]:
    found = world.instances.get((asked["zone"], asked["instance"]))
    if found is None:
        raise not_found(f"projects/{PROJECT}/zones/{asked['zone']}/instances/{asked['instance']}")
    return found


def delete_instance(world: World, asked: Asked) -> dict[str, Any]:
    row = get_instance(world, asked)
    key = (asked["zone"], asked["instance"])
    if world.faults.seconds:
        row["status"] = "STOPPING"

    def ends() -> None:
        if world.instances.get(key) is row:
            del world.instances[key]

    answer = begin(world, asked, "delete", row["selfLink"], ends=ends)
    world.settle()
    return answer


def console(world: World, asked: Asked) -> dict[str, Any]:
    get_instance(world, asked)
    said = world.consoles.get(asked["instance"], "")
    return {"kind": "compute#serialPortOutput", "contents": said, "start": "0"}


def not_found(what: str) -> Refused:
    return Refused(404, "notFound", f"The resource '{what}' was not found")
