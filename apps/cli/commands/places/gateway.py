"""`dstack gateway`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from apps.cli import flags
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age

app = typer.Typer(
    help="List gateways.", rich_markup_mode=None, add_completion=False, no_args_is_help=True
)

COLUMNS = ("BACKEND", "REGION", "NAME", "ADDRESS", "DOMAIN", "DEFAULT")


@app.callback()
def gateway() -> None:
    """List gateways."""


@app.command("list")
def list_gateways(
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Ages and errors too.")] = False,
    as_json: flags.AsJson = False,
    project: flags.Project = None,
) -> None:
    """List the gateways that the project uses."""
    with opened(project) as client:
        found = list(client.items(client.within("gateways")))
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    rows: list[list[str | Cell]] = []
    for one in found:
        texts = [str(one.get(key) or "") for key in ("backend", "region", "name", "address")]
        default = Cell("✓" if one.get("default") else "", "green")
        more = [age(one.get("created_at"), now=now), one.get("error") or ""] if verbose else []
        rows.append([*texts, str(one.get("domain") or ""), default, *more])
    say(table((*COLUMNS, "CREATED", "ERROR") if verbose else COLUMNS, rows))
