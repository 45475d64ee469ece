"""`dstack completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from apps.cli.completion import script
from apps.cli.render.console import clean, say

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
def completion(
    shell: Annotated[
        Shell | None, typer.Argument(metavar="[SHELL]", help="bash, zsh or fish; else this one.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Load it at each start of the shell.")
    ] = False,
) -> None:
    """Print the completion script of a shell, or install it.

    To try it: source <(dstack completion bash); in fish: dstack completion fish | source
    """
    chosen = shell.value if shell else None
    if not install:
        say(script.script(chosen))
        return
    name, path = script.install(chosen)
    say(f"{name} completes dstack from its next start on, by {clean(path)}.")
