"""`dstack scale`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.errors import CliError, Refused
from apps.cli.http.client import Client
from apps.cli.http.session import opened
from apps.cli.render.console import ask, clean, say, warn

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def scale(
    run: flags.RunName,
    replicas: Annotated[str, typer.Argument(metavar="N|A..B", help="3, or 1..4; 0 pauses it.")],
    yes: flags.Yes = False,
    project: flags.Project = None,
) -> None:
    """Set the number of replicas of a run, or its range."""
    with opened(project) as client:
        body = {"replicas": replicas}
        warnings = _warnings(client, run, body)
        for warning in warnings:
            warn(clean(warning))
        if warnings and not yes and not ask(f"Scale {run} to {clean(replicas)} all the same?"):
            raise CliError(f"Run {run} was not scaled.")
        client.post(client.within("runs", run, "scale"), body)
        say(f"Run {run} gets {clean(replicas)} {'replica' if replicas == '1' else 'replicas'}.")


def _warnings(client: Client, run: str, body: dict[str, Any]) -> list[str]:
    """What to know first; a server of an older version says nothing beforehand."""
    try:
        found: dict[str, Any] = client.post(client.within("runs", run, "scale", "plan"), body)
    except Refused as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND:
            return []
        raise
    return list(found["warnings"])
