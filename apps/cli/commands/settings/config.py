"""`dstack config`."""

from __future__ import annotations

from typing import Annotated

import typer

from apps.cli.http.saving import check_and_save

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def config(
    url: Annotated[str, typer.Option("--url", help="Address of the server.")],
    project: Annotated[str, typer.Option("--project", help="Name of the project.")],
    token: Annotated[
        str, typer.Option("--token", envvar="DSTACK_TOKEN", help="A token of scope full.")
    ],
    default: Annotated[
        bool | None, typer.Option("--default/--no-default", help="Use it when none is named.")
    ] = None,
) -> None:
    """Save a project: its server, name and token."""
    check_and_save(name=project, url=url, token=token, default=default)
