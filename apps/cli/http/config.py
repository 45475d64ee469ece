"""Which server, project and token a command uses: config.yml of the home, the environment over it.

The file holds tokens: it is written in one step and only its owner may read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from apps.cli.errors import CliError
from apps.core.stores import atomic_write

# What HTTP lets stand in a header; tokens of ours are shorter and plainer.
_TOKEN = re.compile(r"[!-~]{1,500}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
_ADD = "add one with: dstack config --url URL --project NAME --token TOKEN"


@dataclass(frozen=True)
class Remote:
    """A project on a server, and the token that opens it."""

    name: str
    url: str
    token: str = field(repr=False)
    default: bool = False


def path() -> Path:
    """Return where the configuration lies."""
    try:
        return Path(os.environ.get("DSTACK_HOME") or "~/.dstack-web").expanduser() / "config.yml"
    except RuntimeError as error:
        raise CliError("There is no home folder; set DSTACK_HOME to a folder.") from error


def load() -> list[Remote]:
    """Read the saved projects, none when nothing was saved yet."""
    try:
        text = path().read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path()} cannot be read: {_reason(error)}.") from error
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _broken(_yaml_reason(error)) from error
    if data is None:
        return []
    if not isinstance(data, dict) or not isinstance(data.get("projects") or [], list):
        raise _broken("it must hold the key projects with a list")
    return [_remote(entry, at) for at, entry in enumerate(data.get("projects") or [], start=1)]


def save(remotes: Sequence[Remote]) -> None:
    """Replace the saved projects."""
    projects = [
        {"name": one.name, "url": one.url, "token": one.token, "default": one.default}
        for one in remotes
    ]
    target = path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(target, yaml.safe_dump({"projects": projects}, sort_keys=False))
    except OSError as error:
        raise CliError(f"{target} cannot be written: {_reason(error)}.") from error


def put(remotes: Sequence[Remote], new: Remote) -> list[Remote]:
    """Add or replace a project; the first one is the default."""
    others = [one for one in remotes if one.name != new.name]
    new = replace(new, default=new.default or not any(one.default for one in others))
    if new.default:
        others = [replace(one, default=False) for one in others]
    known = [one.name for one in remotes]
    at = known.index(new.name) if new.name in known else len(others)
    return [*others[:at], new, *others[at:]]


def choose(name: str | None = None, *, environ: Mapping[str, str] = os.environ) -> Remote:
    """Pick the project of a command; flag, then environment, then file."""
    wanted = name or environ.get("DSTACK_PROJECT") or None
    url, token = environ.get("DSTACK_URL"), environ.get("DSTACK_TOKEN")
    if url and token:
        return Remote(_named(wanted or _default_name()), server_url(url), checked_token(token))
    saved = _saved(wanted)
    if url and server_url(url) != saved.url:
        # The saved token belongs to the saved server and goes nowhere else.
        raise CliError(f"DSTACK_URL is {url}, but DSTACK_TOKEN is not set: set both.")
    return replace(saved, token=checked_token(token)) if token else saved


def server_url(text: str) -> str:
    """Check the address of a server and drop a slash at its end."""
    try:
        parts = urlsplit(text.strip())
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not re.fullmatch(r"[!-~]+", text.strip()):
        raise CliError(f"{text!r} is not the address of a server, such as http://127.0.0.1:3000.")
    if parts.username is not None or parts.query or parts.fragment:
        raise CliError("The address of a server has no user, query or fragment: remove them.")
    return text.strip().rstrip("/")


def checked_token(text: str) -> str:
    """Check that a token can be sent."""
    if not _TOKEN.fullmatch(text.strip()):
        raise CliError("The token is empty or holds characters that no token has: copy it again.")
    return text.strip()


def _saved(wanted: str | None) -> Remote:
    remotes = load()
    if not remotes:
        raise CliError(f"No project is saved in {path()}: {_ADD}.")
    if wanted is None:
        return next((one for one in remotes if one.default), remotes[0])
    for one in remotes:
        if one.name == wanted:
            return one
    known = ", ".join(one.name for one in remotes)
    raise CliError(f"Project {wanted!r} is not saved (there is {known}): {_ADD}.")


def _default_name() -> str | None:
    return next((one.name for one in load() if one.default), None)


def _named(name: str | None) -> str:
    if name is None:
        raise CliError("Say which project: add --project NAME or set DSTACK_PROJECT.")
    return name


def _remote(entry: Any, at: int) -> Remote:
    if not isinstance(entry, dict):
        raise _broken(f"project {at} must be a mapping with name, url and token")
    values = {key: entry.get(key) for key in ("name", "url", "token")}
    for key, value in values.items():
        if not isinstance(value, str) or not value:
            raise _broken(f"project {at} needs the text {key}")
    if not _NAME.fullmatch(str(values["name"])):
        raise _broken(f"{values['name']!r} is not the name of a project")
    default = entry.get("default") is True
    url, token = server_url(str(values["url"])), checked_token(str(values["token"]))
    return Remote(str(values["name"]), url, token, default)


def _broken(reason: str) -> CliError:
    return CliError(f"{path()} is not valid: {reason}. Correct it, or delete it and {_ADD}.")


def _yaml_reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return where + str(getattr(error, "problem", None) or "it is not YAML")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not UTF-8 text"
