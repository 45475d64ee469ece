"""Profiles: named sets of policy keys, from `.dstack/profiles.yml` or a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import JsonValue

from apps.specs.errors import Path, SpecError, SpecProblem, path_text
from apps.specs.fields import foreign_keys
from apps.specs.fields.field_types import Form, Section
from apps.specs.fields.scalars import FLAG, flag, found, line
from apps.specs.fields.unsupported import NOT_YET, refusal
from apps.specs.fields.validation import Wrong, keys_of, read_section
from apps.specs.resolve.normalize import modern, written_keys
from apps.specs.sections.policy import Policy, modernised
from apps.specs.sections.service import ServiceKeys, ServiceSpec
from apps.specs.yaml.tree import Document, in_order, read, without_notes

_NOT_HERE = foreign_keys.SERVICE | {
    foreign_keys.plainly(key): "it belongs into the service's file, not into a profile"
    for key in set(keys_of(ServiceKeys)) - set(keys_of(Policy))
}


def _profile_name(value: Any) -> str:
    return line(value, limit=128)


class ProfileKeys(Policy):
    """Every key of a profile."""

    foreign: ClassVar[Mapping[str, str]] = _NOT_HERE

    name: Annotated[str | None, Form(_profile_name, {"type": "string"})] = None
    default: Annotated[bool, Form(flag, FLAG)] = False


class Profile(Section):
    """A profile that was read: `keys` as they were written, which is also what requests carry."""

    name: str | None = None
    default: bool = False
    keys: dict[str, JsonValue] = {}


def parse_profiles(text: str, *, not_yet: Mapping[str, str] = NOT_YET) -> dict[str, Profile]:
    """Read a profiles file into profiles by name, in file order.

    Raise SpecError with all problems.
    """
    document = read(text)
    listed = document.data.get("profiles") if isinstance(document.data, dict) else None
    if not isinstance(document.data, dict) or not isinstance(listed, list):
        shown = document.data if not isinstance(document.data, dict) else listed
        message = f"expected the key profiles with a list of profiles, {found(shown)}"
        raise SpecError([_placed(document, Wrong((), message))])
    wrongs = [
        Wrong((key,), f"unknown key {key!r}; expected profiles", at_key=True)
        for key in without_notes(document.data)
        if key != "profiles"
    ]
    profiles: dict[str, Profile] = {}
    for at, values in enumerate(listed):
        wrongs += _add(profiles, values, ("profiles", at), not_yet)
    if wrongs or document.problems:
        placed = [_placed(document, wrong) for wrong in wrongs]
        raise SpecError(in_order([*document.problems, *placed]))
    return profiles


def read_profile(values: Mapping[str, Any], *, not_yet: Mapping[str, str] = NOT_YET) -> Profile:
    """Read the keys of one profile, as a request carries them.

    Raise SpecError with all problems, without lines.
    """
    keys, wrongs = _read(values, not_yet)
    if keys is None or wrongs:
        raise SpecError(
            SpecProblem(path_text(wrong.path), None, None, wrong.message) for wrong in wrongs
        )
    return _profile(keys, values)


def apply_profile(spec: ServiceSpec, profile: Profile) -> ServiceSpec:
    """Fill in what the profile says and the service's file does not."""
    policy = ProfileKeys.model_validate(profile.keys)
    meanings = modern(policy)
    wanted = [key for key in written_keys(profile.keys) if not spec.wrote(key)]
    update: dict[str, object] = {}
    for key, field in _fields().items():
        if key in wanted:
            update[field] = meanings.get(field, getattr(policy, field))
    written = sorted({*spec.written, *wanted})
    return spec.model_copy(update={**update, "written": written})


def _fields() -> dict[str, str]:
    return {field.alias or name: name for name, field in Policy.model_fields.items()}


def _add(
    profiles: dict[str, Profile], values: Any, path: Path, not_yet: Mapping[str, str]
) -> list[Wrong]:
    """Read one profile of a file into `profiles`; returns what is wrong with it."""
    if not isinstance(values, Mapping):
        return [Wrong(path, f"expected a mapping with name and other keys, {found(values)}")]
    keys, wrongs = _read(values, not_yet)
    if values.get("name") is None:
        wrongs.append(Wrong(("name",), "required key name is missing"))
    if keys is not None and keys.name is not None:
        if keys.name in profiles:
            wrongs.append(Wrong(("name",), f'the profile "{keys.name}" is in the file already'))
        if keys.default and any(profile.default for profile in profiles.values()):
            wrongs.append(Wrong(("default",), "another profile is the default already"))
        profiles.setdefault(keys.name, _profile(keys, values))
    return [Wrong((*path, *wrong.path), wrong.message, wrong.at_key) for wrong in wrongs]


def _read(
    values: Mapping[str, Any], not_yet: Mapping[str, str]
) -> tuple[ProfileKeys | None, list[Wrong]]:
    keys, wrongs = read_section(ProfileKeys, values)
    older = modernised(values)
    if older:
        wrongs.append(Wrong((older[0],), older[1]))
    wrongs += [
        Wrong((key,), refusal(key, not_yet[key]), at_key=True)
        for key in values
        if key in not_yet and values[key]
    ]
    return keys, wrongs


def _profile(keys: ProfileKeys, values: Mapping[str, Any]) -> Profile:
    given = {
        key: value for key, value in values.items() if key in keys_of(Policy) and value is not None
    }
    return Profile.of(name=keys.name, default=keys.default, keys=given)


def _placed(document: Document, wrong: Wrong) -> SpecProblem:
    return document.problem(wrong.path, wrong.message, at_key=wrong.at_key)
