"""The configuration language over HTTP: check a text, and the JSON Schema for editors."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from apps.runs.planning import shell_syntax
from apps.specs import parse, schema
from apps.specs.errors import SpecError

router = Router()


class Configuration(Schema):
    """The text of a service's YAML file."""

    configuration: str


class Problem(Schema):
    """One error and where it is; lines and columns count from 1."""

    path: str
    line: int | None
    column: int | None
    message: str


class Checked(Schema):
    """`spec` is normalised, with all defaults; null unless the configuration is valid."""

    valid: bool
    spec: dict[str, Any] | None
    errors: list[Problem]


@router.post("/specs/validate", response=Checked, summary="Check a configuration")
def validate(request: HttpRequest, body: Configuration) -> dict[str, Any]:
    """Is it valid? Answers with the spec and all its defaults, or every error at its place."""
    try:
        text = parse.decode(body.configuration.encode())
        spec = parse.parse(text, read_by_shell=shell_syntax.unreadable)
    except SpecError as error:
        problems = [asdict(problem) for problem in error.problems]
        return {"valid": False, "spec": None, "errors": problems}
    return {"valid": True, "spec": spec.to_json(), "errors": []}


@router.get("/specs/schema.json", auth=None, summary="JSON Schema of a service")
def json_schema(request: HttpRequest) -> dict[str, Any]:
    """For completion and checks in editors; needs no token."""
    return schema.service_schema()
