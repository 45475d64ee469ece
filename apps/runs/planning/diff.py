"""What differs between two versions of a service, and what bringing the change about needs. Pure.

In place: the gateway or the control plane does it, no replica is touched. Everything else is for
new replicas, so a rollout brings it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from apps.runs.planning.yaml_words import NOTHING, is_one_value, key_of, words

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
BEFORE, AFTER = "(before)", "(changed)"


@dataclass(frozen=True)
class Difference:
    """One changed key: its path and both values as in the file, and whether it needs no new
    replica. A list has one for each item that changed."""

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
        for path, one, other in _changes(key_of(key), key, before, after):
            yield Difference(path, one, other, key in IN_PLACE)


def _wrote(key: str, *specs: Mapping[str, Any]) -> bool:
    return any(key in (spec.get("written") or ()) for spec in specs)


def _span(replicas: Mapping[str, Any] | None) -> str:
    if not replicas:
        return NOTHING
    least, most = replicas["min"] or 0, replicas["max"]
    return str(least) if least == most else f"{least}..{most}"


def _changes(path: str, key: str, old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    """The changes at a path in words, of a mapping at the keys inside."""
    if _is_mapping(key, old, new):
        old, new = old or {}, new or {}
        for inside in sorted({*old, *new}):
            if old.get(inside) != new.get(inside):
                below = f"{path}.{key_of(inside)}"
                yield from _changes(below, inside, old.get(inside), new.get(inside))
    elif _is(list, old, new):
        yield from ((path, *pair) for pair in _items(key, old or [], new or []))
    else:
        yield path, words(key, old), words(key, new)


def _is(kind: type, *values: Any) -> bool:
    """Whether these are all of a kind or not there, and one is there."""
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, kind) for value in there)


def _is_mapping(key: str, *values: Any) -> bool:
    return _is(Mapping, *values) and not any(is_one_value(key, value) for value in values)


def _items(key: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """The items of a list that went, came or changed, in their order."""
    before, after = ([words(key, item) for item in items] for items in (old, new))
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for kind, begin, end, first, last in matcher.get_opcodes():
        if kind != "equal":
            yield from zip_longest(before[begin:end], after[first:last], fillvalue=NOTHING)


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


def _hash(digest: str | None) -> str:
    return digest[:12] if digest else NOTHING
