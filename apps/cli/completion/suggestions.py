"""Names that a shell completes: of runs, saved projects, backends, instances and gateways.

A key was pressed and somebody waits: what does not answer at once or cannot be asked says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import typer

from apps.cli.http import config
from apps.cli.http.client import connect

TIMEOUT = httpx.Timeout(1.5)
MOST = 200
# What a server says goes into a shell that evaluates it.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")

Complete = Callable[[typer.Context, str], list[str]]


def projects(incomplete: str) -> list[str]:
    """Return the saved projects that begin so."""
    try:
        return _fitting((one.name for one in config.load()), incomplete)
    except Exception:  # nobody who presses a key wants to read of a broken file
        return []


def _named(kind: str) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            with connect(config.choose(ctx.params.get("project")), timeout=TIMEOUT) as client:
                found = client.get(client.within(kind), limit=MOST)
            return _fitting((one.get("name") for one in found["items"]), incomplete)
        except Exception:  # nor of a server that is away
            return []

    return complete


runs, backends, instances = _named("runs"), _named("backends"), _named("instances")
gateways = _named("gateways")
hosts = _named("hosts")


def _fitting(names: Iterator[str | None], incomplete: str) -> list[str]:
    valid = (name for name in names if name and _NAME.fullmatch(name))
    return list(dict.fromkeys(name for name in valid if name.startswith(incomplete)))
