"""`port`, `gateway`, `https`: where a service listens and how it is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.scalars import FLAG, flag, found, line, whole

_MOST_PORT = 65535
_GATEWAY = re.compile(r"(?:[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}/)?[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_PREFIX = re.compile(r"/[A-Za-z0-9._:/-]*", re.ASCII)

_PORT_NUMBER: JsonSchema = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": _MOST_PORT},
        {"type": "string", "pattern": r"^\s*\d{1,5}\s*$"},
    ]
}
PORT: JsonSchema = {
    "anyOf": [
        *_PORT_NUMBER["anyOf"],
        {"type": "string", "pattern": r"^\s*\d{1,5}\s*:\s*\d{1,5}\s*$"},
        OWN,
    ]
}
GATEWAY: JsonSchema = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "string"},
        {
            "type": "object",
            "properties": {"project": {"type": "string"}, "name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}
HTTPS: JsonSchema = {"anyOf": [*FLAG["anyOf"], {"enum": ["auto"]}]}
PREFIX: JsonSchema = {"type": "string", "pattern": f"^{_PREFIX.pattern}$"}


def _number(value: Any) -> int:
    return whole(value, least=1, most=_MOST_PORT, of="a port")


class Port(Section):
    """The port of the container; `local_port` is read and not used."""

    container_port: Annotated[int, Form(_number, _PORT_NUMBER)]
    local_port: Annotated[int, Form(_number, _PORT_NUMBER)] = 80


def read_port(value: Any) -> Any:
    """Read `8000` and `80:8000`; a mapping is left to the model."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str) and ":" in value:
        local, _, container = value.partition(":")
        return Port.of(container_port=_number(container), local_port=_number(local))
    return Port.of(container_port=_number(value))


def read_gateway(value: Any) -> bool | str:
    """Read true, false, `name`, `project/name` or {project, name}."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        if not set(value) <= {"project", "name"} or "name" not in value:
            raise Misfit("expected the keys name and, if it is another project's, project")
        value = "/".join(line(value[key]) for key in ("project", "name") if value.get(key))
    given = line(value, limit=128)
    if given.lower() in ("true", "false"):
        return given.lower() == "true"
    if not _GATEWAY.fullmatch(given):
        raise Misfit(f"expected true, false, a gateway's name or project/name, {found(value)}")
    return given


def read_https(value: Any) -> bool | str:
    """Read true, false or auto."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    try:
        return flag(value)
    except Misfit as misfit:
        raise Misfit(f"expected true, false or auto, {found(value)}") from misfit


def read_prefix(value: Any) -> str:
    """Read a path prefix that may stand in a gateway's tables."""
    given = line(value, limit=1024)
    if not _PREFIX.fullmatch(given) or "//" in given or "/../" in f"{given}/":
        raise Misfit(
            f"expected a path such as /v1, of letters, digits and . _ : / -, {found(value)}"
        )
    return given
