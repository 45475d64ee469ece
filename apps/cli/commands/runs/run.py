"""`dstack run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from apps.cli import flags
from apps.cli.publish.publish import PublishOptions, publish

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True, kw_only=True)
class Options(PublishOptions):
    folder: Annotated[
        str, typer.Argument(metavar="WORKING_DIR", help="The folder that is uploaded.")
    ]


@app.command()
@flags.takes(Options)
def run(options: Options) -> None:
    """Run a service: upload the folder, show the plan, ask, follow it.

    Ends with the address, then prints what the service writes; -d returns with the address.
    """
    publish(options.folder, options)
