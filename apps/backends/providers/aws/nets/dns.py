"""Records of Route 53, of which only those that are named are looked at or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from apps.backends.providers.aws.errors import code_of

SECONDS_KEPT = 60
SPREAD = "INSYNC"
# A change that nobody knows any more was made long ago.
UNKNOWN = "NoSuchChange"


def zone_of(route53: Any, domain: str) -> str:
    """Return the public zone whose name is the longest end of the domain's."""
    labels = domain.split(".")
    ends = {".".join(labels[start:]) + "." for start in range(len(labels))}
    found: list[tuple[int, str]] = []
    for page in route53.get_paginator("list_hosted_zones").paginate():
        for zone in page["HostedZones"]:
            if zone["Name"] in ends and not zone.get("Config", {}).get("PrivateZone"):
                found.append((-len(zone["Name"]), str(zone["Id"]).rpartition("/")[2]))
    return min(found)[1] if found else ""


def values(route53: Any, zone: str, name: str, kind: str) -> list[str]:
    row = _row(route53, zone, name, kind)
    if row is None:
        return []
    said = [str(each["Value"]) for each in row.get("ResourceRecords") or ()]
    # What leads to something of AWS's own has no values: it is somebody's all the same.
    aliased = [str(row["AliasTarget"]["DNSName"])] if "AliasTarget" in row else []
    return [_read(each, kind) for each in said] + aliased


def put(route53: Any, zone: str, name: str, kind: str, wanted: Sequence[str]) -> str:
    row = _row(route53, zone, name, kind)
    if not wanted and row is None:
        return ""
    fresh = {
        "Name": name,
        "Type": kind,
        "TTL": SECONDS_KEPT,
        "ResourceRecords": [{"Value": _written(each, kind)} for each in wanted],
    }
    change: dict[str, Any] = {"Action": "UPSERT", "ResourceRecordSet": fresh}
    if not wanted:
        change = {"Action": "DELETE", "ResourceRecordSet": row}
    made = route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [change], "Comment": "dstack-web"}
    )
    return str(made["ChangeInfo"]["Id"]).rpartition("/")[2]


def is_spread(route53: Any, change: str) -> bool:
    try:
        return bool(route53.get_change(Id=change)["ChangeInfo"]["Status"] == SPREAD)
    except ClientError as error:
        if code_of(error) == UNKNOWN:
            return True
        raise


def _row(route53: Any, zone: str, name: str, kind: str) -> dict[str, Any] | None:
    asked = {"StartRecordName": name, "StartRecordType": kind, "MaxItems": "1"}
    found = route53.list_resource_record_sets(HostedZoneId=zone, **asked)["ResourceRecordSets"]
    # It answers with what comes next where there is none of that name.
    is_it = [each for each in found if _name(each["Name"]) == name and each["Type"] == kind]
    return dict(is_it[0]) if is_it else None


def _name(text: str) -> str:
    return text.rstrip(".").replace("\\052", "*")


def _written(value: str, kind: str) -> str:
    return f'"{value}"' if kind == "TXT" else value


def _read(value: str, kind: str) -> str:
    return value.strip('"') if kind == "TXT" else value.rstrip(".")
