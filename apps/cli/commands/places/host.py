"""`dstack host`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError, Refused
from apps.cli.http.client import Client
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import ask, clean, say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age, price

app = typer.Typer(
    help="Add, list and remove own hosts: machines of yours, by ssh.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

COLUMNS = ("NAME", "ADDRESS", "STATUS", "RESOURCES", "PRICE", "RUNS", "REPORTED", "ADDED")
_COLOURS = {"ready": "green", "failed": "red", "lost": "red", "removing": "dim"}
MARKS = {"ok": "✓", "warned": "!", "failed": "✗"}
AT_WORK = ("checking", "installing", "starting", "removing")
LOOK_SECONDS, MOST_SECONDS = 1.0, 1800.0
MOST_KEY_BYTES = 32 * 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    where: Annotated[str, typer.Argument(metavar="USER@ADDRESS[:PORT]", help="Where ssh finds it.")]
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="FILE", help="A private key; - is stdin. Else the server's."),
    ] = None
    jump: Annotated[
        str | None, typer.Option("--jump", metavar="USER@HOST", help="Where ssh goes through.")
    ] = None
    price: Annotated[
        float, typer.Option("--price", metavar="USD", help="What it costs an hour.")
    ] = 0.0
    name: Annotated[str | None, typer.Option("--name", help="What to call it.")] = None
    project: flags.Project = None

    def body(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "address": self.where,
            "key": _key(self.key) if self.key else None,
            "jump": self.jump,
            "price_usd_per_hour": self.price,
            "name": self.name,
        }
        return {key: value for key, value in said.items() if value is not None}


@app.command()
@flags.takes(Options)
def add(options: Options) -> None:
    """Check a machine over ssh and install the agent there; again, both are done anew."""
    body = options.body()
    with opened(options.project) as client:
        try:
            made = client.send("POST", client.within("hosts"), json=body)
        except Refused as refusal:
            problems = [p.message for p in refusal.problems if p.message not in refusal.message]
            raise CliError(refusal.message, notes=problems) from refusal
        _require_ready(client, _followed(client, made))


@app.command("list")
def list_hosts(as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """List the project's own hosts."""
    with opened(project) as client:
        answer = client.get(client.within("hosts"))
    found: list[dict[str, Any]] = answer["items"]
    if as_json:
        print_json(found)
        return
    if not found:
        say("There is no host yet. Let the server in by adding this line to")
        say("~/.ssh/authorized_keys of a machine of yours:\n")
        say(f"  {clean(answer['public_key'])}\n")
        say("and then add it: dstack host add USER@ADDRESS")
        return
    now = datetime.now(UTC)
    say(table(COLUMNS, [_row(one, now) for one in found]))
    notes = [f" {clean(one['name'])}: {clean(one['error'])}" for one in found if one.get("error")]
    if notes:
        say("\n" + "\n".join(notes))


@app.command("accept-key")
def accept_key(
    name: Annotated[
        str, typer.Argument(help="The name of the host.", autocompletion=suggestions.hosts)
    ],
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256:...", help="The key, instead of a question."),
    ] = None,
    project: flags.Project = None,
) -> None:
    """Believe the other host key that a host shows since it was set up anew."""
    with opened(project) as client:
        path = client.within("hosts", name)
        found = client.get(path)
        shown = fingerprint or found.get("offered_fingerprint")
        if not shown:
            raise CliError(f"Host {clean(name)} shows the key that is known: nothing to accept.")
        asked = f"{clean(found.get('error'))} Accept {clean(shown)}?"
        if not fingerprint and not ask(asked):
            raise CliError("The key was not accepted.")
        made = client.send("POST", f"{path}/accept-key", json={"fingerprint": shown})
        _require_ready(client, _followed(client, made))


@app.command()
def remove(
    name: Annotated[
        str, typer.Argument(help="The name of the host.", autocompletion=suggestions.hosts)
    ],
    yes: flags.Yes = False,
    project: flags.Project = None,
) -> None:
    """Remove a host; what runs there is placed elsewhere, and the agent is taken off it."""
    with opened(project) as client:
        path = client.within("hosts", name)
        found = client.get(path)
        running = ", ".join(sorted({clean(each["run"]) for each in found["running"]}))
        there = f" It runs {running}: cut off and placed elsewhere." if running else ""
        if not yes and not ask(f"Remove host {name} of project {client.project}?{there}"):
            raise CliError(f"Host {name} was not removed.")
        found = _followed(client, client.send("DELETE", path))
    if found.get("left_over"):
        say(f"Host {clean(name)} is removed. {clean(found['left_over'])}")
    else:
        say(f"Host {clean(name)} is removed, and nothing of the agent is left there.")


def _followed(client: Client, found: dict[str, Any]) -> dict[str, Any]:
    """Print each step as it comes, until there is nothing left to do."""
    told: set[tuple[str, str]] = set()
    until = time.monotonic() + MOST_SECONDS
    while True:
        for step in found.get("progress") or []:
            if (key := (step["name"], step["text"])) not in told:
                told.add(key)
                say(
                    f" {MARKS.get(step['state'], '-')} {clean(step['name'])}: {clean(step['text'])}"
                )
        if found["state"] not in AT_WORK:
            return found
        if time.monotonic() > until:
            raise CliError(f"Host {clean(found['name'])} is still {found['state']}: look again.")
        time.sleep(LOOK_SECONDS)
        found = client.get(client.within("hosts", found["name"]))


def _require_ready(client: Client, found: dict[str, Any]) -> None:
    if found["state"] != "active":
        raise CliError(
            f"Host {clean(found['name'])} cannot run services yet: "
            f"{clean(found.get('error') or found['state'])}",
            notes=list(_how(client, found)),
        )
    say(f"Host {clean(found['name'])} is ready: {clean(found.get('resources'))}.")


def _how(client: Client, found: dict[str, Any]) -> Iterator[str]:
    """Say which key to let in, where the server's own was tried."""
    name = clean(found["name"])
    if found.get("offered_fingerprint"):
        yield f"If it was set up anew: dstack host accept-key {name}"
    if found.get("key") == "server" and not found.get("fingerprint"):
        key = client.get(client.within("hosts"))["public_key"]
        yield f"The line for ~/.ssh/authorized_keys there: {clean(key)}"


def _key(name: str) -> str:
    """Return a private key. Raise CliError."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MOST_KEY_BYTES + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise CliError(f"{clean(name)} cannot be read: {error.strerror}.") from error
    if len(data) > MOST_KEY_BYTES:
        raise CliError(f"{clean(name)} is longer than any private key.")
    return data.decode(errors="replace")


def _row(one: dict[str, Any], now: datetime) -> list[str | Cell]:
    status = str(one.get("status", ""))
    address = f"[{one['address']}]" if ":" in one["address"] else one["address"]
    port = "" if one["port"] == 22 else f":{one['port']}"
    return [
        str(one["name"]),
        f"{one['user']}@{address}{port}",
        Cell(status, _COLOURS.get(status, "yellow")),
        str(one.get("resources") or ""),
        price(one.get("price_usd_per_hour")),
        ", ".join(sorted({str(each["run"]) for each in one["running"]})) or "-",
        age(one.get("reported_at"), now=now),
        age(one.get("created_at"), now=now),
    ]
