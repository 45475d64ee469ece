"""Rules that join several keys. They look at what was written, so that they speak up together with
the errors of single values, and stay silent where a value is too wrong to judge."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from apps.specs.errors import Misfit, Path
from apps.specs.fields.unsupported import NAMED_VOLUMES
from apps.specs.sections.network import Port, read_port
from apps.specs.sections.policy import modernised
from apps.specs.sections.scaling import read_replicas, scaling_problem
from apps.specs.sections.storage import read_mount

Problem = tuple[Path, str]

# A key -> the keys that it excludes.
_EXCLUDES = {
    "python": ("image", "docker"),
    "nvcc": ("image", "docker"),
    "docker": ("image",),
}
# What a replica has of its kernel, and the root of all.
_KEPT = ("/", "/proc", "/sys", "/dev")
# What a group may say only where the service does not.
_SHARED = (
    "commands", "image", "python", "nvcc", "docker", "privileged", "resources", "spot_policy",
    "reservation",
)  # fmt: skip


def broken(keys: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the path and message of each broken rule."""
    keys = {key: value for key, value in keys.items() if value is not None}
    yield from _exclusions(keys)
    yield from _missing_command(keys)
    yield from _other_port(keys)
    older = modernised(keys)
    if older:
        yield (older[0],), older[1]
    if isinstance(keys.get("groups"), list):
        yield from _groups(keys, keys["groups"])
    else:
        scaling = scaling_problem(keys)
        if scaling:
            yield (scaling[0],), scaling[1]
    yield from _repeated(keys, "rate_limits", "prefix", "/")
    yield from _too_many(keys, "probes", 10)
    yield from _too_many(keys, "repos", 1)
    yield from _too_many(keys, "volumes", 32)
    yield from _volumes(keys)


def _volumes(keys: Mapping[str, Any]) -> Iterator[Problem]:
    """Network volumes, and two folders at one place."""
    items, taken = keys.get("volumes"), set()
    for at, item in enumerate(items if isinstance(items, list) else []):
        try:
            mount = item if isinstance(item, Mapping) else read_mount(item).model_dump()
            if isinstance(item, Mapping):
                read_mount(item)
        except Misfit:
            continue
        if mount.get("name"):
            yield ("volumes", at), NAMED_VOLUMES
        path = posixpath.normpath(f"/{mount.get('path')}").lstrip("/")
        path = f"/{path}"
        if path in _KEPT or path.startswith(tuple(f"{kept}/" for kept in _KEPT if kept != "/")):
            message = f"{path} cannot be replaced by a folder: give another one, such as /data"
            yield ("volumes", at), message
        if path in taken:
            yield ("volumes", at), f"{path} is taken by another volume: give each its own"
        taken.add(path)


def _exclusions(keys: Mapping[str, Any]) -> Iterator[Problem]:
    for key, others in _EXCLUDES.items():
        for other in others:
            if _is_on(keys.get(key)) and _is_on(keys.get(other)):
                yield (key,), f"{key} and {other} exclude each other: keep one of them"


def _is_on(value: Any) -> bool:
    return value is not None and value is not False


def _missing_command(keys: Mapping[str, Any]) -> Iterator[Problem]:
    if keys.get("commands") or "image" in keys or "groups" in keys or _is_on(keys.get("docker")):
        return
    yield ("commands",) if "commands" in keys else (), "expected commands or image: what shall run?"


def _other_port(keys: Mapping[str, Any]) -> Iterator[Problem]:
    """A PORT that the person sets and that is not the one on which they say that it listens."""
    try:
        port = read_port(keys.get("port"))
    except Misfit:
        return
    env = keys.get("env")
    pairs: list[tuple[Any, Any, Any]] = []
    if isinstance(env, Mapping):
        pairs = [(name, name, value) for name, value in env.items()]
    elif isinstance(env, list):
        entries = [(at, entry) for at, entry in enumerate(env) if isinstance(entry, str)]
        pairs = [(at, *entry.partition("=")[::2]) for at, entry in entries if "=" in entry]
    for at, name, value in pairs:
        known = not isinstance(value, str) or "${{" not in value
        problem = port_problem(value, port) if name == "PORT" and known else None
        if problem:
            yield ("env", at), problem


def port_problem(value: Any, port: Any) -> str | None:
    """Say why the variable PORT cannot have a value, where it is not the port of the service."""
    if not isinstance(port, Port) or value is None:
        return None
    if isinstance(value, (str, int)) and str(value).strip() == str(port.container_port):
        return None
    return (
        f"PORT is the port that is called, which `port: {port.container_port}` says: leave PORT "
        "out, or give both the same number"
    )


def _groups(keys: Mapping[str, Any], groups: list[Any]) -> Iterator[Problem]:
    if "replicas" in keys:
        yield ("replicas",), "replicas and groups exclude each other: put replicas into the groups"
    for key in ("scaling", "commands"):
        if key in keys:
            yield (key,), f"{key} belongs into the groups where there are groups"
    if not groups:
        yield ("groups",), "expected at least one group, found an empty list"
    yield from _repeated(keys, "groups", "name", None)
    routers = 0
    for at, group in enumerate(groups):
        if isinstance(group, Mapping):
            routers += group.get("router") is not None
            yield from _group(keys, group, ("groups", at), routers)


def _group(
    keys: Mapping[str, Any], group: Mapping[str, Any], path: Path, routers: int
) -> Iterator[Problem]:
    for key in _SHARED:
        if key != "commands" and key in keys and group.get(key) is not None:
            yield (*path, key), f"{key} stands at the service and in the group: keep one of them"
    if group.get("replicas") is not None and group.get("count") is not None:
        yield (*path, "count"), "count is another name of replicas: keep one of them"
    if not group.get("commands") and group.get("image") is None and "image" not in keys:
        yield path, "expected commands or image in the group: what shall run?"
    scaling = scaling_problem(group)
    if scaling:
        yield (*path, scaling[0]), scaling[1]
    for below, message in _exclusions(group):
        yield (*path, *below), message
    if group.get("router") is not None:
        yield from _router(group, path, routers)


def _router(group: Mapping[str, Any], path: Path, routers: int) -> Iterator[Problem]:
    if routers > 1:
        yield (*path, "router"), "another group has a router already: a service has one at most"
    try:
        replicas = read_replicas(group.get("replicas") or group.get("count") or 1)
    except Misfit:
        return
    if (replicas.min, replicas.max) != (1, 1):
        yield (*path, "router"), "a group with a router has exactly 1 replica"


def _repeated(
    keys: Mapping[str, Any], key: str, part: str, default: str | None
) -> Iterator[Problem]:
    seen: set[str] = set()
    items = keys.get(key)
    for at, item in enumerate(items if isinstance(items, list) else []):
        value = (item.get(part) or default) if isinstance(item, Mapping) else None
        if isinstance(value, str) and value in seen:
            yield (key, at, part), f'the {part} "{value}" is used twice: each may stand once'
        if isinstance(value, str):
            seen.add(value)


def _too_many(keys: Mapping[str, Any], key: str, most: int) -> Iterator[Problem]:
    items = keys.get(key)
    if isinstance(items, list) and len(items) > most:
        yield (key, most), f"has {len(items)} {key}; at most {most}"
