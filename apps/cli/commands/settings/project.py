"""`dstack project`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError
from apps.cli.http import config
from apps.cli.http.client import address
from apps.cli.http.saving import check_and_save
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import money, price

BUDGET = ("PROJECT", "MONTH", "BUDGET", "SPENT", "LEFT", "FORECAST", "WARN")

app = typer.Typer(
    help="Add, list and choose saved projects; bound their machines and spend.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)


@app.command("list")
def list_projects(as_json: flags.AsJson = False) -> None:
    """List the saved projects."""
    remotes = config.load()
    if as_json:
        print_json([{"name": o.name, "url": o.url, "default": o.default} for o in remotes])
        return
    rows: list[list[str | Cell]] = [
        [one.name, one.url, Cell("✓" if one.default else "", "green")] for one in remotes
    ]
    say(table(("PROJECT", "URL", "DEFAULT"), rows))


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    url: Annotated[str, typer.Option("--url", help="Address of the server.")],
    token: Annotated[
        str, typer.Option("--token", envvar="DSTACK_TOKEN", help="A token of scope full.")
    ],
    default: Annotated[
        bool | None, typer.Option("--default/--no-default", help="Use it when none is named.")
    ] = None,
) -> None:
    """Save a project after checking it."""
    check_and_save(name=name, url=url, token=token, default=default)


@dataclass(frozen=True)
class Limits:
    max_instances: Annotated[
        str | None,
        typer.Option(metavar="N|none", help="Machines made for it at a time, at most."),
    ] = None
    max_usd_per_hour: Annotated[
        str | None,
        typer.Option(metavar="USD|none", help="What these may cost an hour together."),
    ] = None
    project: flags.Project = None
    as_json: flags.AsJson = False


@app.command()
@flags.takes(Limits)
def limits(options: Limits) -> None:
    """Show what bounds the project's machines, or change it."""
    asked = {
        "max_instances": options.max_instances,
        "max_usd_per_hour": options.max_usd_per_hour,
    }
    changes = {name: _limit(text) for name, text in asked.items() if text is not None}
    with opened(options.project) as client:
        path = address("projects", client.project)
        if changes:
            found = client.send("PATCH", path, json=changes)
        else:
            mine = client.items(address("projects"))
            found = next((one for one in mine if one["name"] == client.project), {})
        shown = {name: found.get(name) for name in asked}
        if options.as_json:
            print_json(shown)
            return
        instances, money = shown["max_instances"], shown["max_usd_per_hour"]
        most = "no limit" if instances is None else str(instances)
        dollars = "no limit" if money is None else f"{price(money)}/h"
        say(table(("PROJECT", "INSTANCES", "PRICE"), [[client.project, most, dollars]]))


@dataclass(frozen=True)
class Budget:
    usd_per_month: Annotated[
        str | None,
        typer.Option(metavar="USD|none", help="What may be spent in a month (UTC)."),
    ] = None
    warn_percent: Annotated[
        int | None, typer.Option(metavar="N", help="Warn from so many percent of it on.")
    ] = None
    project: flags.Project = None
    as_json: flags.AsJson = False


@app.command()
@flags.takes(Budget)
def budget(options: Budget) -> None:
    """Show the project's budget of this month and what is left of it, or change it.

    Once it is reached, no machine with a price is made; what runs goes on.
    """
    with opened(options.project) as client:
        path = client.within("budget")
        found = client.get(path)
        asked: dict[str, str | int | float | None] = {}
        if options.usd_per_month is not None:
            asked["usd_per_month"] = _limit(options.usd_per_month)
        if options.warn_percent is not None:
            asked["warn_percent"] = options.warn_percent
        if asked:
            asked = {"usd_per_month": found["usd_per_month"], **asked}
            found = client.send("PUT", path, json=asked)
        if options.as_json:
            print_json(found)
            return
        say(table(BUDGET, [_budget_row(client.project, found)]))


def _budget_row(project: str, found: dict[str, Any]) -> list[str | Cell]:
    most, left = found["usd_per_month"], found["left_usd"]
    tone = {"near": "yellow", "reached": "red"}.get(found["state"], "")
    return [
        project,
        found["month"],
        "no budget" if most is None else money(most),
        money(found["spent_usd"]),
        "-" if left is None else Cell(money(left), tone),
        money(found["forecast_usd"]),
        "-" if most is None else f"{found['warn_percent']} %",
    ]


def _limit(text: str) -> str | None:
    """The server says what is wrong with a number."""
    return None if text == "none" else text


@app.command("set-default")
def set_default(
    name: Annotated[
        str,
        typer.Argument(help="Name of a saved project.", autocompletion=suggestions.projects),
    ],
) -> None:
    """Use a saved project when none is named."""
    remotes = config.load()
    if name not in [one.name for one in remotes]:
        known = ", ".join(one.name for one in remotes) or "none"
        raise CliError(f"Project {name!r} is not saved; saved projects: {known}.")
    config.save([replace(one, default=one.name == name) for one in remotes])
    say(f"Project {name} is the default.")
