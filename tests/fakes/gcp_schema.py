"""Google's own description of its APIs, and what it says of a request and of an answer.

The discovery documents lie in Google's wheel `google-api-python-client`. A request that they do not
allow is refused as Google does, and an answer that they do not know is a fault of the fake.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

APIS = ("compute.v1", "cloudbilling.v1", "cloudresourcemanager.v1")
# What every method takes; the client asks for enums in numbers, and reads names as well.
ALWAYS = {"$alt", "alt", "fields", "key", "prettyPrint", "quotaUser"}
FORMATS = {"int64": r"^-?\d+$", "uint64": r"^\d+$"}


@dataclass(frozen=True)
class Method:
    id: str
    verb: str
    path: re.Pattern[str]
    parameters: Mapping[str, Mapping[str, Any]]
    api: str
    request: str
    response: str


class NotAllowed(Exception):
    """Google would answer 400."""


@cache
def document(api: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("googleapiclient")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "discovery_cache" / "documents"
    found: dict[str, Any] = json.loads((folder / f"{api}.json").read_text())
    return found


@cache
def methods() -> tuple[Method, ...]:
    return tuple(each for api in APIS for each in _methods(api, document(api)["resources"]))


def _methods(api: str, resources: Mapping[str, Any]) -> Iterator[Method]:
    base = str(document(api)["servicePath"])
    for resource in resources.values():
        for row in resource.get("methods", {}).values():
            yield Method(
                id=row["id"],
                verb=row["httpMethod"],
                path=_pattern(base + row["flatPath"]),
                parameters=row.get("parameters", {}),
                api=api,
                request=row.get("request", {}).get("$ref", ""),
                response=row.get("response", {}).get("$ref", ""),
            )
        yield from _methods(api, resource.get("resources", {}))


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    words = [
        f"(?P<{part}>[^/]+?)" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    ]
    return re.compile("/" + "".join(words))


def method_of(verb: str, path: str) -> tuple[Method, dict[str, str]]:
    """Return the method of a request and what its path says. Raise LookupError."""
    for method in methods():
        if method.verb == verb and (found := method.path.fullmatch(path)):
            return method, found.groupdict()
    raise LookupError(f"{verb} {path}")


def check_request(
    method: Method, place: Mapping[str, str], query: Mapping[str, str], body: Any
) -> None:
    """Raise NotAllowed for what Google's description does not allow."""
    known = {name for name, row in method.parameters.items() if row["location"] == "query"}
    if strange := set(query) - known - ALWAYS:
        raise NotAllowed(f"unknown parameters: {sorted(strange)}")
    for name, value in {**place, **query}.items():
        row = method.parameters.get(name, {})
        if not re.fullmatch(row.get("pattern", ".*"), value, re.DOTALL):
            raise NotAllowed(f"Invalid value for field '{name}': '{value}'")
        if row.get("type") == "integer" and not value.isdigit():
            raise NotAllowed(f"Invalid value for field '{name}': '{value}'")
    if method.request:
        _check_body(method, body)
    elif body is not None:
        raise NotAllowed("this method takes no body")


def _check_body(method: Method, body: Any) -> None:
    if problem := _problem(method.api, method.request, body):
        raise NotAllowed(f"Invalid value for field '{problem}")
    for name, row in document(method.api)["schemas"][method.request]["properties"].items():
        if method.id in row.get("annotations", {}).get("required", ()) and name not in body:
            raise NotAllowed(f"Invalid value for field 'resource.{name}': ''. It is required.")


def check_answer(method: Method, answer: Any) -> None:
    """Raise AssertionError for an answer that Google's description does not know."""
    problem = _problem(method.api, method.response, answer)
    assert problem is None, f"the fake answers {method.id} wrongly: {problem}"


def _problem(api: str, schema: str, value: Any) -> str | None:
    error = next(_validator(api, schema).iter_errors(value), None)
    return f"resource.{'.'.join(map(str, error.path))}': {error.message}" if error else None


@cache
def _validator(api: str, schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": _definitions(api)})


@cache
def _definitions(api: str) -> dict[str, Any]:
    return {name: _read(row) for name, row in document(api)["schemas"].items()}


def _read(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of one of Google's: fields that it does not name are refused."""
    if "$ref" in row:
        return {"$ref": f"#/$defs/{row['$ref']}"}
    kind = row.get("type", "any")
    found: dict[str, Any] = {} if kind == "any" else {"type": kind}
    if kind == "string":
        found |= {"pattern": f"^(?:{row['pattern']})$"} if "pattern" in row else {}
        found |= {"pattern": FORMATS[row["format"]]} if row.get("format") in FORMATS else {}
        found |= {"enum": row["enum"]} if "enum" in row else {}
    if "items" in row:
        found["items"] = _read(row["items"])
    if "properties" in row:
        found["properties"] = {name: _read(each) for name, each in row["properties"].items()}
    if "additionalProperties" in row:
        found["additionalProperties"] = _read(row["additionalProperties"])
    elif "properties" in row:
        found["additionalProperties"] = False
    return found
