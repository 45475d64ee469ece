"""The JSON Schema of a service's file, for completion and checks in editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.specs.forms import JsonSchema
from apps.specs.service import ServiceKeys
from apps.specs.support import NOT_YET

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def service_schema(*, not_yet: Mapping[str, str] = NOT_YET) -> JsonSchema:
    """This function will return the schema (draft 2020-12), without the keys in `not_yet`.

    Sections are written out in place, so that it has no `$ref`. An optional key may be null.
    """
    generated = ServiceKeys.model_json_schema(by_alias=True, mode="validation")
    definitions = generated.pop("$defs", {})
    schema: JsonSchema = _inlined(generated, definitions)
    for key in not_yet:
        schema["properties"].pop(key, None)
    return {
        "$schema": _DIALECT,
        **schema,
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
    schema = {key: _inlined(item, definitions) for key, item in value.items()}
    schema.pop("title", None) if "properties" not in schema or "type" in schema else None
    return _with_nulls(schema)


def _with_nulls(schema: JsonSchema) -> JsonSchema:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    required = schema.get("required", [])
    return {
        **schema,
        "properties": {
            key: item if key in required else {"anyOf": [item, {"type": "null"}]}
            for key, item in properties.items()
        },
    }
