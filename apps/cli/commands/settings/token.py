"""`dstack token`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError
from apps.cli.http.client import address
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import say
from apps.cli.render.table import table
from apps.cli.render.words import age, moment

app = typer.Typer(
    help="Create, list and revoke tokens.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

COLUMNS = (
    "ID",
    "NAME",
    "TOKEN",
    "SCOPE",
    "PROJECT",
    "RUNS",
    "CALLS/S",
    "CREATED",
    "EXPIRES",
    "LAST USED",
)


@dataclass(frozen=True)
class Options:
    name: Annotated[str, typer.Argument(help="What it is for.")]
    scope: Annotated[
        str | None, typer.Option("--scope", help="full, or call: only calls services.")
    ] = None
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="RUN", help="Only calls this run.", autocompletion=suggestions.runs
        ),
    ] = None
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="30d, 12h; else never.")
    ] = None
    rps: Annotated[
        float | None, typer.Option("--rps", metavar="N", help="Calls of services a second at most.")
    ] = None
    burst: Annotated[
        int | None, typer.Option("--burst", metavar="N", help="Calls above --rps at once.")
    ] = None
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Opens only this project.")
    ] = None


@app.command()
@flags.takes(Options)
def create(options: Options) -> None:
    """Create a token, which is printed once.

    Without --project it opens all your projects; with --run it calls those runs and nothing else.
    """
    body: dict[str, Any] = {
        "name": options.name,
        "scope": options.scope or ("call" if options.runs else "full"),
        "runs": options.runs or [],
        "expires": options.expires,
    }
    if options.rps is not None or options.burst is not None:
        # Left out where not asked for: an older server knows neither.
        body |= {"rps": options.rps, "burst": options.burst}
    with opened(options.project) as client:
        bound = options.project is not None or bool(options.runs)
        body["project"] = client.project if bound else None
        made = client.post(address("tokens"), body)
    print("Keep it: it is shown only now.", file=sys.stderr)
    say(str(made["token"]))


@app.command("list")
def list_tokens(as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """List your tokens."""
    with opened(project) as client:
        found = list(client.items(address("tokens")))
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    say(table(COLUMNS, [_row(one, now) for one in found]))


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, name or beginning.")],
    project: flags.Project = None,
) -> None:
    """Revoke a token, which then opens nothing."""
    with opened(project) as client:
        one = _only(list(client.items(address("tokens"))), token)
        client.delete(address("tokens", str(one["id"])))
    say(f"Token {one['name']} is revoked.")


def _only(tokens: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    for key in ("id", "name", "prefix"):
        matching = [one for one in tokens if str(one.get(key)) == wanted]
        if len(matching) == 1:
            return matching[0]
        if matching:
            ids = ", ".join(str(one["id"]) for one in matching)
            raise CliError(f"Several tokens have this {key}: revoke one by its id ({ids}).")
    raise CliError(f"You have no token {wanted!r}: see dstack token list.")


def _row(one: dict[str, Any], now: datetime) -> list[str]:
    expires = moment(one.get("expires_at"))
    return [
        str(one.get("id", "")),
        str(one.get("name", "")),
        f"{one.get('prefix', '')}…",
        str(one.get("scope", "")),
        one.get("project") or "all",
        ", ".join(one.get("runs") or []) or "all",
        f"{one['rps']:g}" if one.get("rps") else "any",
        age(one.get("created_at"), now=now),
        f"{expires:%Y-%m-%d %H:%M}" if expires else "never",
        age(one.get("last_used_at"), now=now) if one.get("last_used_at") else "never",
    ]
