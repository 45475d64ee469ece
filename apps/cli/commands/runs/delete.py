"""`dstack delete`."""

from __future__ import annotations

import sys

import typer

from apps.cli import flags
from apps.cli.errors import CliError
from apps.cli.http.session import opened
from apps.cli.render.console import ask, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def delete(run: flags.RunName, yes: flags.Yes = False, project: flags.Project = None) -> None:
    """Delete a run that has ended.

    Its logs and history go with it. Asks where somebody can answer.
    """
    with opened(project) as client:
        path = client.within("runs", run)
        client.get(path)
        asked = sys.stdin.isatty() and not yes
        if asked and not ask(f"Delete the run {run} with its logs and history?"):
            raise CliError(f"Run {run} was not deleted.")
        client.delete(path)
        say("Deleted")
