"""`dstack apply`: `run` for people who come from newer versions of dstack."""

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
        str, typer.Argument(metavar="[WORKING_DIR]", help="The folder that is uploaded.")
    ] = "."


@app.command()
@flags.takes(Options)
def apply(options: Options) -> None:
    """Do what `run` does.

    The working folder is the current one unless another is named.
    """
    publish(options.folder, options)
