"""`dstack logs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from apps.cli import flags
from apps.cli.errors import CliError
from apps.cli.http.session import opened
from apps.cli.publish.tail import Tail
from apps.cli.render.words import moment
from apps.specs.errors import Misfit
from apps.specs.fields.durations import seconds

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True)
class Options:
    run: flags.RunName
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new lines too.")] = False
    replica: Annotated[
        int | None, typer.Option("--replica", metavar="N", min=0, help="Only this replica.")
    ] = None
    since: Annotated[
        str | None, typer.Option("--since", metavar="10m", help="Lines of the last 10 minutes.")
    ] = None
    grep: Annotated[
        str | None, typer.Option("--grep", metavar="TEXT", help="Lines that hold this text.")
    ] = None
    tail: Annotated[
        int | None, typer.Option("--tail", metavar="N", min=0, help="Only the newest N lines.")
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False
    project: flags.Project = None


@app.command()
@flags.takes(Options)
def logs(options: Options) -> None:
    """Print what a run wrote.

    Lines begin with the number of their replica when there are several.
    """
    since = _checked(options.since)
    with opened(options.project) as client:
        Tail(
            client,
            options.run,
            replica=options.replica,
            since=since,
            grep=options.grep,
            tail=options.tail,
            as_json=options.as_json,
        ).show(follow=options.follow)


def _checked(since: str | None) -> str | None:
    if since is None or moment(since):
        return since
    try:
        return f"{seconds(since)}s"
    except Misfit as misfit:
        raise CliError(
            f"--since: {misfit}; a time such as 2030-01-31T12:00:00Z does too."
        ) from None
