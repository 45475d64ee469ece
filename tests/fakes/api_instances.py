"""Instances of the server that the command line is tried with."""

from __future__ import annotations

from typing import Any

from tests.fakes.api_state import ApiError, FakeApi, Seen


def listed(fake: FakeApi, seen: Seen) -> tuple[int, Any]:
    found = {"items": fake.instances, "next_cursor": None}
    return 200, {**found, "unknown_machines": fake.unknown_machines}


def shown(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    found = [one for one in fake.instances if one["name"] == name]
    if not found:
        raise ApiError(404, "not_found", f"There is no instance {name!r} in project main.")
    return 200, found[0]


def terminated(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    _, found = shown(fake, seen, name)
    if found["backend"] == "local":
        raise ApiError(409, "conflict", f"{name} is no machine that this server made.")
    found["state"] = "terminating"
    return 200, found


def cleared(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    _, found = shown(fake, seen, name)
    if not found.get("caches"):
        raise ApiError(404, "not_found", f"{name} keeps no model files of project main.")
    found["caches"] = [{**each, "clearing": True} for each in found["caches"]]
    return 200, found


_ALL = "/api/projects/main/instances"
ROUTES = (
    ("GET", _ALL, listed),
    ("GET", f"{_ALL}/([^/]+)", shown),
    ("DELETE", f"{_ALL}/([^/]+)", terminated),
    ("DELETE", f"{_ALL}/([^/]+)/cache", cleared),
)
