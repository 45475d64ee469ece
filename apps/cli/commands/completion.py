"""`dstack completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

from apps.cli.console import say

app = typer.Typer(rich_markup_mode=None)


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completion script of a shell.

    Load it with: source <(dstack completion bash)
    """
    say(
        get_completion_script(
            prog_name="dstack", complete_var="_DSTACK_COMPLETE", shell=shell.value
        )
    )
