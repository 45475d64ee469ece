"""The door of this package: text -> ServiceSpec, and what flags, profiles and secrets do to it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from apps.specs import commands
from apps.specs.errors import MOST_PROBLEMS, Misfit, SpecError, SpecProblem
from apps.specs.fields.scalars import found
from apps.specs.fields.unsupported import NOT_YET, refusal
from apps.specs.fields.validation import Wrong, read_section
from apps.specs.profiles import Profile, apply_profile, parse_profiles, read_profile
from apps.specs.resolve import rules
from apps.specs.resolve.interpolation import (
    fill_env,
    interpolate,
    misplaced_references,
    missing_env,
    secret_names,
)
from apps.specs.resolve.normalize import normalised
from apps.specs.resolve.overrides import apply_overrides
from apps.specs.sections.scaling import Replicas, read_replicas
from apps.specs.sections.service import ServiceKeys, ServiceSpec
from apps.specs.yaml.events import MAX_BYTES
from apps.specs.yaml.tree import Document, in_order, read, without_notes

__all__ = [
    "Profile",
    "apply_overrides",
    "apply_profile",
    "decode",
    "fill_env",
    "interpolate",
    "missing_env",
    "parse",
    "parse_profiles",
    "parse_replicas",
    "read_profile",
    "secret_names",
]

_OTHER_TYPES = ("task", "dev-environment", "fleet", "gateway", "volume", "preset")


def parse(
    text: str,
    *,
    not_yet: Mapping[str, str] = NOT_YET,
    read_by_shell: commands.ReadByShell = lambda _: (),
) -> ServiceSpec:
    """Return the configuration of a service. Raise SpecError with all problems, in file order.

    Keys in `not_yet` are refused, and so are commands that `read_by_shell` has something against.
    """
    document = read(text)
    if document.data is None:
        raise document.refusal((), "the configuration is empty: it needs type, commands and port")
    if not isinstance(document.data, dict):
        wrong = f"expected a mapping of keys such as type and commands, {found(document.data)}"
        raise document.refusal((), wrong)
    if document.data.get("type") in _OTHER_TYPES:
        wrong = f"`type: {document.data['type']}` is not supported: expected service"
        raise document.refusal(("type",), wrong)
    keys = without_notes(document.data)
    against = commands.unreadable(keys, read_by_shell)
    return _service(document, keys, not_yet, list(against))


def decode(data: bytes) -> str:
    """Turn the bytes of a file into text.

    Raise SpecError when they are more than 1 MB or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        size = max(len(data) / 1e6, 1.1)
        raise SpecError(
            [SpecProblem("", None, None, f"configuration is {size:.1f} MB; at most 1 MB")]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = "not UTF-8 text: save the file as UTF-8"
        raise SpecError([SpecProblem("", line, column, message)]) from error


def parse_replicas(value: str | int) -> Replicas:
    """Read `3` or `1..4`, as `dstack scale` takes it. Raise SpecError."""
    try:
        return read_replicas(value)
    except Misfit as misfit:
        raise SpecError([SpecProblem("replicas", None, None, str(misfit))]) from misfit


def _service(
    document: Document, values: dict[str, Any], not_yet: Mapping[str, str], against: list[Wrong]
) -> ServiceSpec:
    listed = isinstance(values.get("replicas"), list) and values.get("groups") is None
    if listed:
        # The older form of groups: a list under `replicas`.
        values = {**values, "groups": values["replicas"]}
        del values["replicas"]
    keys, wrongs = read_section(ServiceKeys, values)
    wrongs += against
    for problems in (rules.broken(values), misplaced_references(values)):
        # One more than is shown, which tells that there are more.
        some = islice(problems, MOST_PROBLEMS + 1)
        wrongs += [Wrong(path, message) for path, message in some]
    wrongs += [
        Wrong((key,), refusal(key, not_yet[key]), at_key=True)
        for key in values
        if key in not_yet and values[key]
    ]
    if wrongs or document.problems or keys is None:
        raise SpecError(_placed(document, wrongs, {"groups": "replicas"} if listed else {}))
    return normalised(keys, values)


def _placed(
    document: Document, wrongs: list[Wrong], renamed: Mapping[str, str]
) -> list[SpecProblem]:
    problems = list(document.problems)
    for wrong in wrongs:
        path = wrong.path
        if path and path[0] in renamed:
            path = (renamed[str(path[0])], *path[1:])
        problem = document.problem(path, wrong.message, at_key=wrong.at_key, line=wrong.line)
        problems.append(problem)
    return in_order(problems)
