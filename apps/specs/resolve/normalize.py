"""What was read -> the spec: older keys become newer ones, the rest of the defaults is filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.specs.sections.policy import IDLE_SECONDS, Policy, Retry
from apps.specs.sections.probes import model_probe
from apps.specs.sections.service import ServiceKeys, ServiceSpec

# A key -> the older keys that say the same.
_OLDER = {
    "retry": ("retry_policy",),
    "idle_duration": ("termination_policy", "termination_idle_time"),
}


def normalised(keys: ServiceKeys, values: Mapping[str, Any]) -> ServiceSpec:
    """Turn what was read into a spec; `values` is what was written."""
    fields = fields_of(keys) | modern(keys)
    fields["groups"] = [
        group.model_copy(
            update={"name": group.name or str(at), "replicas": group.count or group.replicas}
        )
        for at, group in enumerate(keys.groups)
    ]
    asked = "probes" in keys.model_fields_set
    if keys.model is not None and keys.model.format == "openai" and not asked:
        fields["probes"] = [model_probe(keys.model)]
    return ServiceSpec.of(**fields, written=written_keys(values))


def fields_of(section: Policy) -> dict[str, object]:
    """Return the values of a section by field name."""
    return {name: getattr(section, name) for name in type(section).model_fields}


def modern(policy: Policy) -> dict[str, object]:
    """Return what the older keys mean, under the newer fields."""
    fields: dict[str, object] = {}
    older = policy.retry_policy
    if older is not None:
        seconds = older.limit_seconds or older.duration_seconds
        fields["retry"] = Retry.of(duration_seconds=seconds) if older.retry else None
    if policy.termination_policy == "dont-destroy":
        fields["idle_duration_seconds"] = None
    elif {"termination_policy", "termination_idle_seconds"} & policy.model_fields_set:
        named = "termination_idle_seconds" in policy.model_fields_set
        fields["idle_duration_seconds"] = policy.termination_idle_seconds if named else IDLE_SECONDS
    return fields


def written_keys(values: Mapping[str, Any]) -> list[str]:
    """Return the keys that have a value, with those inside `resources`."""
    given = {key for key, value in values.items() if value is not None}
    resources = values.get("resources")
    if isinstance(resources, Mapping):
        given |= {f"resources.{key}" for key, value in resources.items() if value is not None}
    given |= {new for new, olds in _OLDER.items() if given & set(olds)}
    return sorted(given)
