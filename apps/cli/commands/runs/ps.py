"""`dstack ps`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from apps.cli import answers, flags
from apps.cli.errors import CliError
from apps.cli.http.client import Client
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import is_live, say
from apps.cli.render.runs_table import notes, runs_table

app = typer.Typer(rich_markup_mode=None, add_completion=False)

WATCH_SECONDS = 2
_TOP_AND_CLEAR = "\x1b[H\x1b[J"


@dataclass(frozen=True)
class Options:
    all: Annotated[bool, typer.Option("-a", "--all", help="Runs that have ended too.")] = False
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Instances, errors, what was tried.")
    ] = False
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Refresh every 2 seconds.")] = False
    as_json: flags.AsJson = False
    project: flags.Project = None


@app.command()
@flags.takes(Options)
def ps(options: Options) -> None:
    """List runs.

    Those that have not ended, or the last one when there are none.
    """
    if options.watch and options.as_json:
        raise CliError("--watch refreshes a table; leave --json or --watch out.")
    with opened(options.project) as client:
        if options.as_json:
            print_json(_runs(client, every=options.all))
            return
        _show(client, options)
        while options.watch:
            time.sleep(WATCH_SECONDS)
            _show(client, options)


def _show(client: Client, options: Options) -> None:
    runs = [answers.run(one) for one in _runs(client, every=options.all)]
    if options.watch and is_live():
        print(_TOP_AND_CLEAR, end="")
    now = datetime.now(UTC)
    say(runs_table(runs, now=now, verbose=options.verbose))
    said = [note for run in runs for note in notes(run, now=now, verbose=options.verbose)]
    if said:
        say("\n" + "\n".join(f" {note}" for note in said))


def _runs(client: Client, *, every: bool) -> list[dict[str, Any]]:
    path = client.within("runs")
    if every:
        return list(client.items(path))
    return list(client.items(path, active=1)) or list(islice(client.items(path, limit=1), 1))
