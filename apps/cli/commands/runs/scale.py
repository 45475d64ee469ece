"""`dstack scale`."""

from __future__ import annotations

from typing import Annotated

import typer

from apps.cli import flags
from apps.cli.http.session import opened
from apps.cli.render.console import clean, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def scale(
    run: flags.RunName,
    replicas: Annotated[str, typer.Argument(metavar="N|A..B", help="3, or 1..4; 0 pauses it.")],
    project: flags.Project = None,
) -> None:
    """Set the number of replicas of a run, or its range."""
    with opened(project) as client:
        body = {"replicas": replicas}
        client.post(client.within("runs", run, "scale"), body)
        say(f"Run {run} gets {clean(replicas)} {'replica' if replicas == '1' else 'replicas'}.")
