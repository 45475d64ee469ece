"""What differs between two versions of a service, and what bringing the change about needs. Pure.

In place: the gateway or the control plane does it, no replica is touched. Everything else is for
new replicas, so a rollout brings it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CREATE, UPDATE, REPLACE, NONE = "create", "update", "replace", "none"

IN_PLACE = frozenset(
    {
        "auth",
        "hold",
        "https",
        "idle_timeout_seconds",
        "max_concurrency",
        "max_duration_seconds",
        "model",
        "rate_limits",
        "replicas",
        "retry",
        "scaling",
        "schedule",
        "start_duration_seconds",
        "stop_duration_seconds",
        "strip_prefix",
        "tags",
        "utilization_policy",
    }
)
# The run's own name, and which keys a person wrote: neither changes what runs.
IGNORED = frozenset({"name", "written", "env"})
# Their values may hold keys: that they changed is said, not to what.
HIDDEN = frozenset({"probes", "registry_auth"})
LONGEST_VALUE = 200
BEFORE, AFTER, NOTHING = "(before)", "(changed)", "none"


@dataclass(frozen=True)
class Difference:
    """One changed key: its path, both values in words, and whether it needs no new replica."""

    path: str
    old: str
    new: str
    in_place: bool = False


def differences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    secrets: tuple[Mapping[str, Any], Mapping[str, Any]],
    uploads: tuple[str | None, str | None] = (None, None),
) -> list[Difference]:
    """List what changed between two stored specs, by path.

    `secrets` are the old and new values that are kept apart; none is ever part of the answer.
    """
    found = list(_of_specs(old, new)) + list(_of_secrets(*secrets))
    if uploads[0] != uploads[1]:
        found.append(Difference("files", _hash(uploads[0]), _hash(uploads[1])))
    return sorted(found, key=lambda one: one.path)


def needs_rollout(found: Sequence[Difference]) -> bool:
    """Tell whether any difference is for new replicas only."""
    return any(not one.in_place for one in found)


def _of_specs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key in sorted({*old, *new} - IGNORED):
        before, after = old.get(key), new.get(key)
        if before == after or key == "probes" and not _wrote(key, old, new):
            # The probe that a model has by default is as new as the model's name is.
            continue
        if key == "replicas":
            yield Difference(key, _span(before), _span(after), in_place=True)
            continue
        if key in HIDDEN:
            yield Difference(key, BEFORE, AFTER)
            continue
        for path, one, other in _changes(key, before, after):
            yield Difference(path, _words(one), _words(other), key in IN_PLACE)


def _wrote(key: str, *specs: Mapping[str, Any]) -> bool:
    return any(key in (spec.get("written") or ()) for spec in specs)


def _span(replicas: Mapping[str, Any] | None) -> str:
    if not replicas:
        return NOTHING
    least, most = replicas["min"] or 0, replicas["max"]
    return str(least) if least == most else f"{least}..{most}"


def _changes(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        yield path, old, new
        return
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield from _changes(f"{path}.{key}", old.get(key), new.get(key))


def _of_secrets(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    before, after = old.get("env") or {}, new.get("env") or {}
    for name in sorted({*before, *after}):
        if name not in before:
            yield Difference(f"env.{name}", NOTHING, "(set)")
        elif name not in after:
            yield Difference(f"env.{name}", "(set)", NOTHING)
        elif before[name] != after[name]:
            yield Difference(f"env.{name}", BEFORE, AFTER)
    if old.get("registry_password") != new.get("registry_password"):
        yield Difference("registry_auth.password", BEFORE, AFTER)


def _words(value: Any) -> str:
    if value is None or value in ([], {}):
        return NOTHING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _hash(digest: str | None) -> str:
    return digest[:12] if digest else NOTHING
