"""The JSON Schema of a service's file, for completion and checks in editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.specs.fields.field_types import JsonSchema
from apps.specs.fields.unsupported import NOT_YET
from apps.specs.sections.service import ServiceKeys

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Titles repeat the keys, and defaults are meanings (MiB, seconds), not what one would write.
_LEFT_OUT = ("title", "default")

# What most files hold, in the order in which people write it; editors suggest in this order.
_FIRST = ("type", "name", "image", "python", "env", "commands", "port", "resources", "model",
          "replicas", "scaling", "auth")  # fmt: skip


def service_schema(*, not_yet: Mapping[str, str] = NOT_YET) -> JsonSchema:
    """Return the schema (draft 2020-12), without the keys in `not_yet`.

    Sections are written out in place, so that it has no `$ref`. An optional key may be null.
    """
    generated = ServiceKeys.model_json_schema(by_alias=True, mode="validation")
    definitions = generated.pop("$defs", {})
    schema: JsonSchema = _inlined(generated, definitions)
    properties = schema["properties"]
    for key in not_yet:
        properties.pop(key, None)
    if "groups" in properties:
        # The older form: the groups listed under `replicas`.
        properties["replicas"] = {"anyOf": [properties["replicas"], properties["groups"]]}
    schema["properties"] = {key: properties[key] for key in (*_FIRST, *properties)}
    return {
        "$schema": _DIALECT,
        **schema,
        "patternProperties": {"^x-": {}},
        "title": "Service",
        "description": "A service: what runs, on what, and how it is reached.",
    }


def _inlined(value: Any, definitions: Mapping[str, JsonSchema]) -> Any:
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target = definitions[value["$ref"].rpartition("/")[2]]
        return _inlined({**target, **{k: v for k, v in value.items() if k != "$ref"}}, definitions)
    schema = {
        key: _inlined(item, definitions)
        for key, item in value.items()
        if key not in (*_LEFT_OUT, "properties")
    }
    if "properties" in value:
        schema["properties"] = _properties(value, definitions)
    return schema


def _properties(section: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    required = section.get("required", [])
    properties = {}
    for key, item in section["properties"].items():
        own = _inlined(item, definitions)
        about = {"description": own["description"]} if "description" in own else {}
        properties[key] = own if key in required else {"anyOf": [own, {"type": "null"}], **about}
    return properties
