"""`dstack upload`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.errors import CliError
from apps.cli.http.client import Client
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import ask, say
from apps.cli.render.table import table
from apps.cli.render.words import age, size

app = typer.Typer(
    help="List and delete uploaded folders.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

COLUMNS = ("UPLOAD", "SIZE", "SENT", "NEEDED BY")
SHOWN = 12
NAMED = 3


@app.command("list")
def list_uploads(as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """List the project's uploads, with the versions that need them."""
    with opened(project) as client:
        path = client.within("uploads")
        found = list(client.items(path))
        total = {} if as_json else client.get(path, limit=1)
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    say(table(COLUMNS, [_row(one, now) for one in found]))
    used, quota = int(total.get("used_bytes", 0)), int(total.get("quota_bytes", 0))
    print(f" {size(used)} of {size(quota)} are taken.", file=sys.stderr)


@app.command()
def delete(
    upload: Annotated[str, typer.Argument(metavar="UPLOAD", help="Its hash or its beginning.")],
    yes: flags.Yes = False,
    project: flags.Project = None,
) -> None:
    """Delete an upload that no version needs."""
    with opened(project) as client:
        digest = _whole(client, upload)
        asked = sys.stdin.isatty() and not yes
        if asked and not ask(f"Delete the upload {digest[:SHOWN]}?"):
            raise CliError(f"Upload {digest[:SHOWN]} was not deleted.")
        client.delete(client.within("uploads", digest))
        say(f"Upload {digest[:SHOWN]} is deleted.")


def _whole(client: Client, beginning: str) -> str:
    hashes = [str(one["hash"]) for one in client.items(client.within("uploads"))]
    fitting = [one for one in hashes if beginning and one.startswith(beginning)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CliError(f"Several uploads begin with {beginning}: give more of its hash.")
    raise CliError(f"There is no upload {beginning[:64]!r}: see dstack upload list.")


def _row(one: dict[str, Any], now: datetime) -> list[str]:
    needs = [f"{need['run']} version {need['version']}" for need in one.get("needed_by") or []]
    more = [f"{len(needs) - NAMED} more"] if len(needs) > NAMED else []
    return [
        str(one["hash"])[:SHOWN],
        size(int(one["size_bytes"])),
        age(one.get("created_at"), now=now),
        ", ".join([*needs[:NAMED], *more]) or "nothing",
    ]
