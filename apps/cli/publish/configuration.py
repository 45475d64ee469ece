"""What a run is made from: the service's file, passed values, a profile."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.cli.errors import CliError, Problem
from apps.cli.render.console import clean, warn
from apps.specs import parse
from apps.specs.errors import SpecError, SpecProblem
from apps.specs.yaml import tree

_DEFAULTS = (".dstack.yml", ".dstack.yaml")
_ENDINGS = (".dstack.yml", ".dstack.yaml")
_YAML = (".yml", ".yaml")
_TYPE = re.compile(rb"^type: *['\"]?service\b", re.MULTILINE)
_NAMED = 5
_PROFILES = (".dstack/profiles.yml", ".dstack/profiles.yaml")
_ENV_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_MOST_BYTES = 2**20
STDIN = "-"


@dataclass(frozen=True)
class Configuration:
    """A service's file: the name that messages use for it, its text, and where it lies."""

    name: str
    text: str
    path: Path | None = None


def read_configuration(folder: Path, file: str | None) -> Configuration:
    """Read the service's file: `file`, else .dstack.yml of the folder."""
    if file == STDIN:
        return Configuration("stdin", _decoded("stdin", sys.stdin.buffer.read(_MOST_BYTES + 1)))
    path = Path(file) if file is not None else _default(folder)
    try:
        with path.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, folder, error) from error
    if not path.name.endswith(_ENDINGS):
        warn(f"{clean(path.name)} does not end in .dstack.yml, which other tools look for.")
    return Configuration(clean(path), _decoded(clean(path), data), path)


def passed_values(text: str, given: Sequence[str], *, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values that go beside the file.

    `given` are the -e flags: NAME=value, or NAME for the value of this process. An entry of the
    file without a value takes this process's too. Raise CliError that names all that are missing.
    """
    values: dict[str, str] = {}
    missing: list[str] = []
    for flag in given:
        name, sign, value = flag.partition("=")
        if not _ENV_NAME.fullmatch(name):
            raise CliError(f"-e {clean(flag)!r} is neither NAME=value nor NAME.")
        if sign:
            values[name] = value
    wanted = [flag for flag in given if "=" not in flag] + _without_value(text)
    for name in dict.fromkeys(wanted):
        if name in values:
            continue
        if name in environ:
            values[name] = environ[name]
        else:
            missing.append(name)
    if missing:
        flags = " ".join(f"-e {name}=VALUE" for name in missing)
        raise CliError(f"No value for {', '.join(missing)}: pass {flags}, or set it in this shell.")
    return values


def chosen_profile(folder: Path, name: str | None, *, home: Path | None) -> dict[str, Any]:
    """Return the keys of a profile, {} without one.

    The named one, else the default one; the folder's profiles go before those of the home folder.
    """
    known: list[str] = []
    for place in [folder, *([home] if home else [])]:
        profiles = _profiles(place)
        known += profiles
        for profile in profiles.values():
            if profile.name == name if name else profile.default:
                return dict(profile.keys)
    if name:
        there = f"there is {', '.join(map(clean, known))}" if known else "there are no profiles"
        raise CliError(f"There is no profile {name!r}: {there} in .dstack/profiles.yml.")
    return {}


def in_file(name: str, problems: Sequence[Problem | SpecProblem]) -> list[str]:
    """Write the problems of a file, each with the place where it is."""
    return [_placed(name, problem) for problem in problems]


def _placed(name: str, problem: Problem | SpecProblem) -> str:
    where = f"{name}:{problem.line}:{problem.column or 1}: " if problem.line else ""
    what = f"{problem.path}: " if problem.path else ""
    return clean(f"{where}{what}{problem.message}")


def _default(folder: Path) -> Path:
    for name in _DEFAULTS:
        if (folder / name).is_file():
            return folder / name
    raise CliError(f"There is no {_DEFAULTS[0]} in {clean(folder)}: {_found_instead(folder)}.")


def _found_instead(folder: Path) -> str:
    """What to do, with the names of the files that may be meant."""
    likely = _services(folder)
    if not likely:
        return "name the service's file with -f FILE"
    first = shlex.quote(os.fspath(folder / likely[0]))
    if len(likely) == 1:
        return f"use -f {clean(first)}"
    shown = ", ".join(map(clean, likely[:_NAMED])) + (", ..." if len(likely) > _NAMED else "")
    return f"it has {shown}; use one of them, such as -f {clean(first)}"


def _services(folder: Path) -> list[str]:
    """The files of a folder that are services by their names, else by their first key."""
    try:
        found = sorted(one for one in folder.iterdir() if one.is_file())
        named = [one.name for one in found if one.name.endswith(_ENDINGS)]
        return named or [one.name for one in found if one.suffix in _YAML and _is_service(one)]
    except OSError:
        return []


def _is_service(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(_TYPE.search(file.read(_MOST_BYTES)))


def _unreadable(path: Path, folder: Path, error: Exception) -> CliError:
    inside = folder / path
    if isinstance(error, FileNotFoundError) and not path.is_absolute() and inside.is_file():
        hint = f"; did you mean -f {clean(inside)}?"
    elif isinstance(error, FileNotFoundError) and _services(folder):
        hint = f": {_found_instead(folder)}."
    else:
        hint = "."
    reason = getattr(error, "strerror", None) or "it is not a path"
    return CliError(f"The service's file {clean(path)!r} cannot be read: {reason}{hint}")


def _decoded(name: str, data: bytes) -> str:
    try:
        return parse.decode(data)
    except SpecError as error:
        raise CliError(f"{name}: {error.problems[0]}.") from error


def _without_value(text: str) -> list[str]:
    """Names of the `env` list without a value. What is not valid is for the server to say."""
    try:
        data = tree.read(text).data
    except SpecError:
        return []
    env = data.get("env") if isinstance(data, dict) else None
    entries = env if isinstance(env, list) else []
    return [one for one in entries if isinstance(one, str) and _ENV_NAME.fullmatch(one)]


def _profiles(folder: Path) -> dict[str, parse.Profile]:
    for path in (folder / name for name in _PROFILES):
        try:
            text = parse.decode(path.read_bytes())
            return parse.parse_profiles(text)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CliError(f"{clean(path)} cannot be read: {error.strerror}.") from error
        except SpecError as error:
            raise CliError(
                f"{clean(path)} is not valid:", notes=in_file(clean(path), error.problems)
            ) from error
    return {}
