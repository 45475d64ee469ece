"""`volumes`, `files`, `repos`: what a replica finds in its file system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.scalars import FLAG, choice, flag, found, line, list_of, matching

_TEXT: JsonSchema = {"type": "string", "minLength": 1}
_NAMES: JsonSchema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
TEXT_OR_MAPPING: JsonSchema = {"anyOf": [_TEXT, OWN]}
MOUNT: JsonSchema = {"anyOf": [{"type": "string", "pattern": "^/[^:]*:/"}, OWN]}

_volume_name = matching(r"[a-z0-9][a-z0-9._-]{0,62}", "a volume's name such as my-data")


def absolute_path(value: Any) -> str:
    """Read a path from the root, without `..`."""
    given = line(value, limit=4096)
    if not given.startswith("/") or ".." in given.split("/"):
        raise Misfit(f"expected an absolute path such as /data, without .., {found(value)}")
    return given


def inner_path(value: Any) -> str:
    """Read a path that is absolute, below the home (~) or below the folder."""
    given = line(value, limit=4096)
    if ".." in given.split("/"):
        raise Misfit(f"a path may not hold .., {found(value)}")
    return given


def _volume_names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [_volume_name(value)]
    names = list_of(_volume_name, "volume names")(value)
    if not names:
        raise Misfit("expected at least one volume name, found an empty list")
    return names


class Mount(Section):
    """A volume (`name`: the first one that is free) or a path of the host, at `path`."""

    name: Annotated[list[str], Form(_volume_names, _NAMES)] = []
    instance_path: Annotated[str | None, Form(absolute_path, _TEXT)] = None
    path: Annotated[str, Form(absolute_path, _TEXT)]
    optional: Annotated[bool, Form(flag, FLAG)] = False


def read_mount(value: Any) -> Any:
    """Read `name:/path` and `/host:/path`; a mapping is left to the model."""
    if isinstance(value, Mapping):
        if (value.get("name") is None) == (value.get("instance_path") is None):
            raise Misfit("a volume needs either name or instance_path, beside path")
        if value.get("optional") is not None and value.get("name") is not None:
            raise Misfit(below=[(("optional",), "optional works with instance_path only")])
        return value
    source, colon, path = line(value, limit=8192).partition(":")
    if not colon or not source:
        raise Misfit(f"expected name:/path or /host/path:/path, {found(value)}")
    if source.startswith("/"):
        return Mount.of(instance_path=absolute_path(source), path=absolute_path(path))
    return Mount.of(name=[_volume_name(source)], path=absolute_path(path))


class FileMount(Section):
    """A file or folder of the person's machine, copied to `path` (its own path if absent)."""

    local_path: Annotated[str, Form(line, _TEXT)]
    path: Annotated[str, Form(inner_path, _TEXT)]


def read_file(value: Any) -> Any:
    """Read `local` and `local:path`; a mapping is left to the model."""
    if isinstance(value, Mapping):
        return value
    local, colon, path = line(value, limit=8192).partition(":")
    if not local or colon and not path:
        raise Misfit(f"expected local/path or local/path:/path/in/replica, {found(value)}")
    return FileMount.of(local_path=local, path=inner_path(path if colon else local))


class Repo(Section):
    """A git repository, local or by URL, put at `path`."""

    local_path: Annotated[str | None, Form(line, _TEXT)] = None
    url: Annotated[str | None, Form(line, _TEXT)] = None
    branch: Annotated[str | None, Form(line, _TEXT)] = None
    hash: Annotated[str | None, Form(line, _TEXT)] = None
    path: Annotated[str, Form(inner_path, _TEXT)] = "."
    if_exists: Annotated[
        Literal["error", "skip"], Form(choice("error", "skip"), {"enum": ["error", "skip"]})
    ] = "error"


_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://[^\s:/]+(?::\d+)?[^\s:]*|[\w.-]+@[\w.-]+:[^\s:]+)")


def read_repo(value: Any) -> Any:
    """Read a path, a URL, or either with `:path`."""
    if isinstance(value, Mapping):
        if (value.get("local_path") is None) == (value.get("url") is None):
            raise Misfit("a repository needs either local_path or url")
        return value
    given = line(value, limit=8192)
    url = _URL.match(given)
    source = url.group() if url else given.partition(":")[0]
    rest = given[len(source) :]
    if not source or rest and (not rest.startswith(":") or len(rest) == 1):
        raise Misfit(f"expected a path or a URL, with :path behind it if needed, {found(value)}")
    path = inner_path(rest[1:]) if rest else "."
    return Repo.of(**{"url" if url else "local_path": source, "path": path})
