"""`dstack project`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError
from apps.cli.http import config
from apps.cli.http.saving import check_and_save
from apps.cli.http.session import print_json
from apps.cli.render.console import say
from apps.cli.render.table import Cell, table

app = typer.Typer(
    help="Add, list and choose saved projects.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)


@app.command("list")
def list_projects(as_json: flags.AsJson = False) -> None:
    """List the saved projects."""
    remotes = config.load()
    if as_json:
        print_json([{"name": o.name, "url": o.url, "default": o.default} for o in remotes])
        return
    rows: list[list[str | Cell]] = [
        [one.name, one.url, Cell("✓" if one.default else "", "green")] for one in remotes
    ]
    say(table(("PROJECT", "URL", "DEFAULT"), rows))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    url: Annotated[str, typer.Option("--url", help="Address of the server.")],
    token: Annotated[
        str, typer.Option("--token", envvar="DSTACK_TOKEN", help="A token of scope full.")
    ],
    default: Annotated[
        bool | None, typer.Option("--default/--no-default", help="Use it when none is named.")
    ] = None,
) -> None:
    """Save a project after checking it."""
    check_and_save(name=name, url=url, token=token, default=default)


@app.command("set-default")
def set_default(
    name: Annotated[
        str,
        typer.Argument(help="Name of a saved project.", autocompletion=suggestions.projects),
    ],
) -> None:
    """Use a saved project when none is named."""
    remotes = config.load()
    if name not in [one.name for one in remotes]:
        known = ", ".join(one.name for one in remotes) or "none"
        raise CliError(f"Project {name!r} is not saved; saved projects: {known}.")
    config.save([replace(one, default=one.name == name) for one in remotes])
    say(f"Project {name} is the default.")
