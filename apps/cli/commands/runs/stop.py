"""`dstack stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from apps.cli import answers, flags
from apps.cli.errors import CliError
from apps.cli.http.session import opened
from apps.cli.publish.follow import until_ended
from apps.cli.render.console import ask, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def stop(
    run: flags.RunName,
    yes: flags.Yes = False,
    abort: Annotated[
        bool, typer.Option("-x", "--abort", help="Kill at once instead of letting requests end.")
    ] = False,
    project: flags.Project = None,
) -> None:
    """Stop a run and give back its machines.

    Return when nothing of the run lives any more.
    """
    with opened(project) as client:
        found = answers.run(client.get(client.within("runs", run)))
        if found.has_ended:
            raise CliError(f"Run {run} has ended already ({found.state}).")
        verb = "Abort" if abort else "Stop"
        if not yes and not ask(f"{verb} the run {run}?"):
            raise CliError(f"Run {run} was not stopped.")
        client.post(client.within("runs", run, "stop"), {"abort": abort})
        until_ended(client, run)
        say("Aborted" if abort else "Stopped")
