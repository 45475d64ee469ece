"""`dstack rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from apps.cli import answers, flags
from apps.cli.http.session import opened
from apps.cli.publish.follow import until_updated
from apps.cli.render.console import say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def rollback(
    run: flags.RunName,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", min=1, help="The version to return to.")
    ] = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not wait for it.")] = False,
    project: flags.Project = None,
) -> None:
    """Return a run to an earlier version."""
    with opened(project) as client:
        changed = answers.run(client.post(client.within("runs", run, "rollback"), {"to": to}))
        if not detach:
            until_updated(client, changed)
        what = "goes back" if detach else "is back"
        say(f"Run {run} {what}, as version {changed.version}.")
