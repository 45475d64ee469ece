"""`dstack backend`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError
from apps.cli.http.backends import next_step
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import ask, say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age

app = typer.Typer(
    help="Connect, list and close backends: where services run.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)


@app.command()
def connect(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="local: the server's own machine.")],
    project: flags.Project = None,
) -> None:
    """Open a backend for the project (for admins of the server)."""
    with opened(project) as client:
        client.post(client.within("backends"), {"kind": kind})
        say(f"Services of project {client.project} can run on {kind} now.")


@app.command("list")
def list_backends(as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """List the backends of the project."""
    with opened(project) as client:
        found = list(client.items(client.within("backends")))
        name = client.project
    if as_json:
        print_json(found)
        return
    if not found:
        say(next_step(name))
        return
    now = datetime.now(UTC)
    rows: list[list[str | Cell]] = [
        [str(one["name"]), str(one["kind"]), age(one.get("created_at"), now=now)] for one in found
    ]
    say(table(("NAME", "KIND", "CONNECTED"), rows))


@app.command()
def delete(
    name: Annotated[
        str,
        typer.Argument(help="The name of the backend.", autocompletion=suggestions.backends),
    ],
    yes: flags.Yes = False,
    project: flags.Project = None,
) -> None:
    """Close a backend for the project; refused while services need it."""
    with opened(project) as client:
        if not yes and not ask(f"Close {name} for project {client.project}?"):
            raise CliError(f"Backend {name} was not closed.")
        client.delete(client.within("backends", name))
        say(f"{name} is closed for project {client.project}.")
