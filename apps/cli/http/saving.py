"""Saving a project after asking its server whether it opens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apps.cli.errors import CliError, Refused
from apps.cli.http import config
from apps.cli.http.backends import missing
from apps.cli.http.client import address, connect
from apps.cli.http.config import Remote
from apps.cli.render.console import say


def check_and_save(*, name: str, url: str, token: str, default: bool | None) -> None:
    """Save a project that its token opens, and say what it lacks before a service can run in it.

    `default` None keeps what there is. Raise CliError for a bad token or an unknown project.
    """
    saved = config.load()
    was_default = any(one.default for one in saved if one.name == name)
    remote = Remote(
        name,
        config.server_url(url),
        config.checked_token(token),
        was_default if default is None else default,
    )
    address("projects", name)
    note = _check(remote)
    kept = [replace(one, default=False) if default and one.default else one for one in saved]
    config.save(config.put(kept, remote))
    say(f"Project {name} is saved in {config.path()}.")
    if note:
        say(note)


def _check(remote: Remote) -> str:
    """Return what is to be said of a project that opens; raise CliError for one that does not."""
    with connect(remote) as client:
        try:
            me = client.get(address("users", "me"))
        except Refused as refusal:
            if refusal.status != 401:
                raise
            raise CliError(
                f"{remote.url} does not accept this token: copy it again or create another one."
            ) from refusal
        _require_member(remote, me)
        return missing(client)


def _require_member(remote: Remote, me: dict[str, Any]) -> None:
    projects = [one.get("name") for one in me.get("projects", [])]
    if remote.name not in projects:
        known = ", ".join(str(one) for one in projects) or "none"
        raise CliError(
            f"There is no project {remote.name!r} on {remote.url} that you are a member of; "
            f"your projects: {known}."
        )
