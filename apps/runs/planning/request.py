"""What a person asks for, made whole: file, profile, flags and passed values become one spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from apps.core.errors import Detail, Invalid
from apps.runs.planning import shell_syntax
from apps.specs import parse
from apps.specs.errors import SpecError, SpecProblem
from apps.specs.resolve import rules
from apps.specs.sections.service import ServiceSpec
from apps.specs.yaml import tree as yaml_tree

T = TypeVar("T")
MOST_ENV_BYTES = 256 * 1024


@dataclass(frozen=True)
class PlanRequest:
    """`env` are values passed beside the file, `overrides` the flags of the command line, `upload`
    the hash of the packed working folder; `force` deploys again where nothing differs.

    `file` is the configuration as `read` made it out, None before; no other text may be put to it.
    """

    configuration: str
    name: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    profile: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    upload: str | None = None
    force: bool = False
    file: ServiceSpec | None = field(default=None, repr=False, compare=False)


def read(request: PlanRequest) -> PlanRequest:
    """Return the request with its file read, so that no later step reads the text again.

    Raise Invalid with all problems of the file.
    """
    return request if request.file else replace(request, file=_file_of(request))


def _file_of(request: PlanRequest) -> ServiceSpec:
    text = request.configuration
    return _or_invalid(lambda: parse.parse(text, read_by_shell=shell_syntax.unreadable))


def spec_of(request: PlanRequest) -> ServiceSpec:
    """Return the configuration with profile and flags laid over it.

    Flag goes before file, file before profile. Raise Invalid with all problems of the file.
    """
    spec = request.file or _file_of(request)
    overrides = dict(request.overrides)
    if request.name is not None:
        overrides["name"] = request.name
    return _or_invalid(lambda: _laid_over(spec, request.profile, overrides))


def _laid_over(
    spec: ServiceSpec, profile: Mapping[str, Any], overrides: Mapping[str, Any]
) -> ServiceSpec:
    if profile:
        spec = parse.apply_profile(spec, parse.read_profile(profile))
    return parse.apply_overrides(spec, overrides) if overrides else spec


def _or_invalid(read: Callable[[], T]) -> T:
    try:
        return read()
    except SpecError as error:
        raise invalid(error.problems) from error
    except ValidationError as error:
        problems = [
            SpecProblem(".".join(map(str, e["loc"])), None, None, e["msg"]) for e in error.errors()
        ]
        raise invalid(problems) from error


def invalid(problems: Iterable[SpecProblem]) -> Invalid:
    """Turn problems of a configuration into the error that people see."""
    details = [Detail(p.path, p.message, p.line, p.column) for p in problems]
    first = details[0]
    where = f"line {first.line}: " if first.line else ""
    what = f"{first.path}: {first.message}" if first.path else first.message
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return Invalid(f"{where}{what}{more}", details=details)


def placed(details: Sequence[Detail], text: str) -> list[Detail]:
    """Give problems that were found later than in the text the line of their key, where the text
    has it."""
    if all(detail.line is not None for detail in details):
        return list(details)
    keys = {path: mark for path, mark in yaml_tree.read(text).keys.items() if path}
    found = []
    for detail in details:
        path = tuple(detail.path.split("."))
        named = (path[:length] for length in range(len(path), 0, -1))
        mark = next((keys[part] for part in named if part in keys), None)
        if detail.line is None and mark is not None:
            detail = replace(detail, line=mark.line, column=mark.column)
        found.append(detail)
    return found


def complete(spec: ServiceSpec, env: Mapping[str, str]) -> ServiceSpec:
    """Fill the passed values in and resolve `${{ ... }}`.

    Raise Invalid when a value is missing, a secret does not exist or the values are too large.
    """
    if sum(len(key) + len(value) for key, value in env.items()) > MOST_ENV_BYTES:
        raise Invalid(f"The environment is larger than {MOST_ENV_BYTES // 1024} KB.")
    broken = [key for key, value in env.items() if "\0" in value or not key.isidentifier()]
    if broken:
        raise Invalid(f"env: {broken[0]!r} is not a name and value that a process can have.")
    missing = [name for name in parse.missing_env(spec) if name not in env]
    unknown = sorted(parse.secret_names(spec))
    problems = [
        SpecProblem("env", None, None, f"{name} has no value: pass it with -e {name}=VALUE")
        for name in missing
    ] + [SpecProblem("secrets", None, None, f"no such secret: {name}") for name in unknown]
    if problems:
        raise invalid(problems)
    filled = parse.fill_env(spec, env)
    values = {name: value for name, value in filled.env.items() if value is not None}
    whole = _or_invalid(lambda: parse.interpolate(filled, secrets={}, env=values))
    problem = rules.port_problem(whole.env.get("PORT"), whole.port)
    if problem:
        raise invalid([SpecProblem("env.PORT", None, None, problem)])
    return whole
