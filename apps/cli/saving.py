"""Saving a project after asking its server whether it opens."""

from __future__ import annotations

from dataclasses import replace

from apps.cli import config
from apps.cli.client import address, connect
from apps.cli.config import Remote
from apps.cli.console import say
from apps.cli.errors import CliError, Refused


def check_and_save(*, name: str, url: str, token: str, default: bool | None) -> None:
    """This function will save a project that its token opens.

    `default` None keeps what there is. Raises CliError for a bad token or an unknown project.
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
    _check(remote)
    kept = [replace(one, default=False) if default and one.default else one for one in saved]
    config.save(config.put(kept, remote))
    say(f"Project {name} is saved in {config.path()}.")


def _check(remote: Remote) -> None:
    with connect(remote) as client:
        try:
            me = client.get(address("users", "me"))
        except Refused as refusal:
            if refusal.status != 401:
                raise
            raise CliError(
                f"{remote.url} does not accept this token: copy it again or create another one."
            ) from refusal
    projects = [one.get("name") for one in me.get("projects", [])]
    if remote.name not in projects:
        known = ", ".join(str(one) for one in projects) or "none"
        raise CliError(
            f"There is no project {remote.name!r} on {remote.url} that you are a member of; "
            f"your projects: {known}."
        )
