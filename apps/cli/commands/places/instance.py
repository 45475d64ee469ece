"""`dstack instance`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import ask, clean, say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age, moment, price, size

app = typer.Typer(
    help="List, show and terminate instances: the machines that services run on.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="The name of the instance.", autocompletion=suggestions.instances)
]
COLUMNS = ("NAME", "BACKEND", "REGION", "INSTANCE", "RESOURCES", "SPOT", "PRICE", "STATUS", "RUNS",
           "REPORTED", "CREATED")  # fmt: skip
_COLOURS = {"ready": "green", "idle": "blue", "failed": "red", "lost": "red", "terminated": "dim"}


@app.command("list")
def list_instances(
    every: Annotated[bool, typer.Option("-a", "--all", help="Those that have ended too.")] = False,
    as_json: flags.AsJson = False,
    project: flags.Project = None,
) -> None:
    """List the instances of the project."""
    with opened(project) as client:
        path = client.within("instances")
        found = list(client.items(path, **({"ended": True} if every else {})))
        unknown: list[dict[str, Any]] = client.get(path, limit=1).get("unknown_machines") or []
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    say(table(COLUMNS, [_row(one, now) for one in found]))
    notes = [*_notes(found), *_unknown(unknown)]
    if notes:
        say("\n" + "\n".join(f" {note}" for note in notes))


@app.command()
def show(name: Name, as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """Show an instance: where it is, what its cloud calls it, and what happened to it."""
    with opened(project) as client:
        found = client.get(client.within("instances", name))
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    say(table(COLUMNS, [_row(found, now)]))
    said = [*_at_cloud(found), *_notes([found]), *_happened(found)]
    if said:
        say("\n" + "\n".join(f" {line}" for line in said))


@app.command()
def terminate(
    name: Name,
    yes: flags.Yes = False,
    project: flags.Project = None,
) -> None:
    """End an instance; replicas that run there are replaced at once."""
    with opened(project) as client:
        path = client.within("instances", name)
        found = client.get(path)
        if not yes and not ask(f"Terminate {clean(name)}?{_there(found)}"):
            raise CliError(f"Instance {clean(name)} was not terminated.")
        client.delete(path)
        say(f"{clean(name)} is being terminated.")


@app.command("clear-cache")
def clear_cache(
    name: Annotated[
        str,
        typer.Argument(help="The name of the instance.", autocompletion=suggestions.instances),
    ],
    yes: flags.Yes = False,
    project: flags.Project = None,
) -> None:
    """Remove the model files that an instance keeps for the project."""
    with opened(project) as client:
        path = client.within("instances", name)
        kept = [each for each in client.get(path).get("caches") or [] if not each.get("clearing")]
        there = "".join(f" {line}." for line in _kept(kept))
        if not yes and not ask(f"Clear the model files on {clean(name)}?{there}"):
            raise CliError(f"The model files on {clean(name)} were not cleared.")
        client.delete(f"{path}/cache")
        say(f"The model files on {clean(name)} are being removed.")


def _kept(caches: list[dict[str, Any]]) -> Iterator[str]:
    for one in caches:
        amount = "an amount not known yet" if one.get("bytes") is None else size(one["bytes"])
        state = ", being removed" if one.get("clearing") else ""
        yield clean(f"Project {one.get('project')} keeps {amount} of model files there{state}")


def _row(one: dict[str, Any], now: datetime) -> list[str | Cell]:
    state = str(one.get("state", ""))
    return [
        str(one.get("name", "")),
        str(one.get("backend", "")),
        str(one.get("region", "")),
        str(one.get("instance", "")),
        str(one.get("resources", "")),
        "yes" if one.get("spot") else "no",
        price(one.get("price_usd_per_hour")),
        Cell(state, _COLOURS.get(state, "yellow")),
        ", ".join(_running(one)) or "-",
        age(one.get("reported_at"), now=now),
        age(one.get("created_at"), now=now),
    ]


def _running(one: dict[str, Any]) -> list[str]:
    named = [
        f"{each.get('run')}" + (f"/{each['replica']}" if each.get("replica") is not None else "")
        for each in one.get("running") or []
    ]
    others = one.get("running_of_others") or 0
    return [*named, *([f"{others} of other projects"] if others else [])]


def _there(one: dict[str, Any]) -> str:
    running = _running(one)
    if not running:
        return ""
    return clean(f" It runs {', '.join(running)}: cut off and replaced.")


def _notes(found: list[dict[str, Any]]) -> Iterator[str]:
    for one in found:
        name = clean(one.get("name"))
        if one.get("error"):
            yield f"{name}: {clean(one['error'])}"
        if (until := moment(one.get("idle_until"))) is not None:
            yield f"{name}: idle until {until:%H:%M:%S} UTC"
        yield from (f"{name}: {line}" for line in _kept(one.get("caches") or []))


def _at_cloud(one: dict[str, Any]) -> Iterator[str]:
    """What is told of its place there: to who may change its backend."""
    for key, what in (("zone", "zone"), ("cloud_id", "id there"), ("cloud_page", "its page there")):
        if one.get(key):
            yield f"{what}: {clean(one[key])}"
    for each in one.get("cloud_said") or []:
        yield f"its cloud said: {clean(each.get('text'))}"


def _happened(one: dict[str, Any]) -> Iterator[str]:
    """Its events, the oldest first."""
    for each in reversed(one.get("events") or []):
        at = moment(each.get("at"))
        why = f": {clean(each['reason'])}" if each.get("reason") else ""
        yield f"{at:%Y-%m-%d %H:%M:%S} UTC  {clean(each.get('new'))}{why}" if at else ""


def _unknown(found: list[dict[str, Any]]) -> Iterator[str]:
    for one in found:
        ends = moment(one.get("ends_at"))
        until = f"is ended at {ends:%Y-%m-%d %H:%M} UTC" if ends else "is left alone"
        named = clean(one.get("name") or one.get("ref"))
        where = clean(one.get("backend"))
        yield f"Machine {named} of {where} is not known to this server: it {until}."
