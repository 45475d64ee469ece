"""`dstack events`."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import say
from apps.cli.render.runs_table import state_cell
from apps.cli.render.table import Cell, table
from apps.cli.render.words import moment

app = typer.Typer(rich_markup_mode=None, add_completion=False)

# Kinds whose subject is a replica: of the second are requests that one ended with.
OF_REPLICAS = ("replica", "request")
# Kinds whose old and new are numbers: of replicas, of versions, of dollars.
OF_NUMBERS = ("scaling", "version", "budget")
COLUMNS = ("TIME", "OBJECT", "FROM", "TO", "REASON", "ACTOR")


@app.command()
def events(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Only this run.", autocompletion=suggestions.runs),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest.")] = 100,
    as_json: flags.AsJson = False,
    project: flags.Project = None,
) -> None:
    """List what happened to a run, or in the project, and what scaling decided.

    Oldest first. Times are UTC.
    """
    with opened(project) as client:
        path = client.within("runs", run, "events") if run else client.within("events")
        found = list(islice(client.items(path, limit=min(limit, 200)), limit))[::-1]
    if as_json:
        print_json(found)
        return
    say(table(COLUMNS, [_row(event) for event in found]))


def _row(event: dict[str, Any]) -> list[str | Cell]:
    at = moment(event.get("at"))
    kind, run, subject = event.get("kind", ""), event.get("run") or "", event.get("subject") or ""
    new = event.get("new") or ""
    named = f"{run} {subject}" if kind in OF_REPLICAS else f"{kind} {run or subject}"
    named = f"{run or subject} {kind}" if kind in OF_NUMBERS else named
    return [
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "-",
        named,
        event.get("old") or "",
        new if kind in OF_NUMBERS else state_cell(new),
        event.get("reason") or "",
        event.get("actor") or "",
    ]
