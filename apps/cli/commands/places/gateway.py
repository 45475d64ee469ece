"""`dstack gateway`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
    help="Create, show, change, upgrade and delete gateways: where services are published.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

COLUMNS = ("BACKEND", "REGION", "NAME", "ADDRESS", "DOMAIN", "DEFAULT")
MORE = ("STATUS", "MACHINE", "PRICE", "DNS", "CREATED", "ERROR")
COLOURS = {"running": "green", "failed": "red", "deleting": "dim"}
PAUSE_SECONDS = 1.0
UPGRADE_SECONDS, VERSION_LETTERS = 900.0, 12
NAME = typer.Argument(help="The name of the gateway.", autocompletion=suggestions.gateways)
Name = Annotated[str, NAME]
DEFAULT_HELP = "Services that name no gateway are published there"
MakeDefault = Annotated[bool, typer.Option("--default", "--set-default", help=f"{DEFAULT_HELP}.")]


@dataclass(frozen=True, kw_only=True)
class Options:
    domain: Annotated[
        str, typer.Option("--domain", help="Services are names below it, such as example.com.")
    ]
    backend: Annotated[
        str, typer.Option("--backend", autocompletion=suggestions.backends, help="Whose machine.")
    ] = ""
    region: Annotated[str, typer.Option("--region", help="Where the machine is.")] = ""
    host: Annotated[
        str, typer.Option("--host", help="A host of yours, instead of both: see `dstack host`.")
    ] = ""
    name: Annotated[str, typer.Option("--name", help="Of its place where left out.")] = ""
    dns: Annotated[
        str,
        typer.Option("--dns", help="A backend with the domain's DNS: its records are made there."),
    ] = ""
    default: Annotated[
        bool | None,
        typer.Option(
            "--default/--no-default",
            "--set-default",
            help=f"{DEFAULT_HELP}; so it is with a project's first.",
        ),
    ] = None
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not wait for it.")] = False
    project: flags.Project = None

    def body(self) -> dict[str, Any]:
        names = ("domain", "backend", "region", "host", "name", "default", "dns")
        return {name: getattr(self, name) for name in names}


@app.command()
@flags.takes(Options)
def create(options: Options) -> None:
    """Create a gateway on a machine of a cloud or on a host, and wait until it serves."""
    with opened(options.project) as client:
        made = client.post(client.within("gateways"), options.body())
        name = str(made["name"])
        if options.detach:
            say(f"Gateway {clean(name)} is being created.")
            return
        say("Creating gateway...")
        made = _followed(client, name, made)
    say()
    say(table(COLUMNS, [_row(made)]))
    _tell_record(made)


@app.command("list")
def list_gateways(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="States, machines and errors too.")
    ] = False,
    as_json: flags.AsJson = False,
    project: flags.Project = None,
) -> None:
    """List the gateways that the project uses."""
    with opened(project) as client:
        found = list(client.items(client.within("gateways")))
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    rows = [[*_row(one), *(_more(one, now) if verbose else [])] for one in found]
    say(table((*COLUMNS, *MORE) if verbose else COLUMNS, rows))


@app.command()
def update(
    name: Name,
    domain: Annotated[str | None, typer.Option("--domain", help="Another domain.")] = None,
    dns: Annotated[
        str | None,
        typer.Option("--dns", help="Have its records made by a backend; '' takes them away."),
    ] = None,
    default: MakeDefault = False,
    project: flags.Project = None,
) -> None:
    """Give a gateway another domain, make it the default or have its DNS records made."""
    changed: dict[str, Any] = {"domain": domain, "default": True if default else None, "dns": dns}
    body = {key: value for key, value in changed.items() if value is not None}
    if not body:
        raise CliError("Say what to change: --domain, --default or --dns.")
    with opened(project) as client:
        made = client.send("PATCH", client.within("gateways", name), json=body)
    say(table(COLUMNS, [_row(made)]))
    if domain is not None:
        _tell_record(made)


@app.command()
def delete(
    name: Name,
    yes: flags.Yes = False,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not wait.")] = False,
    project: flags.Project = None,
) -> None:
    """Delete a gateway, its machine and its address."""
    with opened(project) as client:
        path = client.within("gateways", name)
        found = client.get(path)
        if not yes and not ask(f"Delete gateway {clean(name)}?{_unpublishes(found)}"):
            raise CliError(f"Gateway {clean(name)} was not deleted.")
        client.delete(path)
        if detach:
            say(f"Gateway {clean(name)} is being deleted.")
            return
        _wait_for_end(client, path, name)
    say(f"Gateway {clean(name)} is deleted: {_given_back(found)}.")


@app.command()
def show(name: Name, as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """Show a gateway: what it carries, its version, tunnels, certificates and what DNS says."""
    with opened(project) as client:
        path = client.within("gateways", name)
        found = {**client.get(path), "traffic": client.get(f"{path}/traffic")}
    if as_json:
        print_json(found)
        return
    for title, text in _facts(found, datetime.now(UTC)):
        say(f"{title + ':':<13} {text}")
    if not (found.get("dns") or {}).get("is_right"):
        _tell_record(found)


@app.command()
def logs(
    name: Name,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=1, max=1000, help="How many, the newest.")
    ] = 100,
    project: flags.Project = None,
) -> None:
    """Print the last lines that a gateway's program wrote on its machine."""
    with opened(project) as client:
        found = client.get(client.within("gateways", name, "logs"), limit=lines)["items"]
    for each in found:
        say(f"{clean(str(each['at']))}  {clean(each['text'])}")
    if not found:
        say("It has written nothing yet.")


@app.command()
def upgrade(name: Name, project: flags.Project = None) -> None:
    """Bring a gateway to this server's version now; callers notice nothing. It happens by itself
    too, within a minute of a server's upgrade."""
    with opened(project) as client:
        path = client.within("gateways", name)
        before = client.get(path)
        if before.get("is_current"):
            say(f"Gateway {clean(name)} has this server's version, {_version(before)}.")
            return
        found = client.post(client.within("gateways", name, "upgrade"), {})
        say(f"{clean(name)}: upgrading from {_version(before)}")
        end = time.monotonic() + UPGRADE_SECONDS
        while not found.get("is_current"):
            if time.monotonic() > end:
                raise CliError(
                    f"Gateway {clean(name)} still runs {_version(found)}; it is tried again.",
                    notes=[f"See: dstack gateway logs {clean(name)}"],
                )
            time.sleep(PAUSE_SECONDS)
            found = client.get(path)
    say(f"Gateway {clean(name)} has this server's version, {_version(found)}.")


@app.command()
def retry(name: Name, project: flags.Project = None) -> None:
    """Try again to make a gateway for which no machine could be had."""
    with opened(project) as client:
        made = client.post(client.within("gateways", name, "retry"), {})
        made = _followed(client, name, made)
    say(table(COLUMNS, [_row(made)]))
    _tell_record(made)


def _followed(client: Client, name: str, made: dict[str, Any]) -> dict[str, Any]:
    """Say what happens until it serves. Raise CliError where it will not."""
    said = ""
    try:
        while made["state"] != "running":
            if made["state"] in ("failed", "deleting"):
                raise CliError(
                    f"Gateway {clean(name)} is {made['state']}: {clean(made.get('error') or '')}",
                    notes=[f"Try again with: dstack gateway retry {clean(name)}"],
                )
            if (now := _stage(made)) != said:
                say(f"{clean(name)}: {now}")
                said = now
            time.sleep(PAUSE_SECONDS)
            made = client.get(client.within("gateways", name))
    except KeyboardInterrupt:
        say(f"Gateway {clean(name)} is made on: see `dstack gateway list -v`.")
        raise
    say(f"{clean(name)}: running")
    return made


def _stage(made: dict[str, Any]) -> str:
    trouble = f" ({clean(made['error'])})" if made.get("error") else ""
    return f"{clean(made.get('step') or made['state'])}{trouble}"


def _wait_for_end(client: Client, path: str, name: str) -> None:
    said = ""
    while True:
        try:
            found = client.get(path)
        except Refused as refusal:
            if refusal.status == 404:
                return
            raise
        now = f"machine {found['machine_state']}" if found.get("machine") else "giving back"
        now = f"ending on host {clean(found['host'])}" if found.get("host") else now
        now += f" ({clean(found['error'])})" if found.get("error") else ""
        if now != said:
            say(f"{clean(name)}: {now}")
            said = now
        time.sleep(PAUSE_SECONDS)


def _facts(one: dict[str, Any], now: datetime) -> list[tuple[str, str]]:
    """Return what is to be said of a gateway, line by line."""
    domain, traffic = clean(one["domain"]), one["traffic"]
    where = f"host {clean(one['host'])}" if one.get("host") else f"{one['backend']} {one['region']}"
    named = one.get("certificates") or {}
    counts = [f"{named[each]} {each}" for each in ("valid", "pending", "failed") if named.get(each)]
    first = str(named.get("first_expires_at") or "")[:10]
    dns = one.get("dns") or {}
    facts = [
        ("Gateway", f"{clean(one['name'])}{', the default' if one.get('default') else ''}"),
        ("State", clean(one.get("step") or one["state"])),
        ("Where", clean(f"{where} {one.get('address') or ''}").strip()),
        ("Services at", f"NAME.{domain}"),
        ("Traffic", _traffic(traffic)),
        ("Tunnels", str(one.get("tunnels") or 0)),
        (
            "Certificates",
            (", ".join(counts) or "none") + (f", first expires {first}" * bool(first)),
        ),
        (
            "Version",
            _version(one) + (" (older than the server's)" if _is_old(one) else ""),
        ),
        ("Services", clean(", ".join(one.get("runs") or [])) or "none"),
        ("Last report", age(one.get("reported_at"), now=now)),
    ]
    if dns:
        right = " (right)" if dns.get("is_right") else ""
        asked = f"{dns.get('answer') or 'not asked yet'}{right}"
        facts.append(("DNS", clean(f"{dns['asked']}: {asked}")))
    return [*facts, ("Error", clean(one["error"]))] if one.get("error") else facts


def _traffic(found: dict[str, Any]) -> str:
    words = [f"{found['rps']:.1f} requests/s"]
    if found.get("p95_ms") is not None:
        words.append(f"p95 {found['p95_ms']:.0f} ms")
    if found.get("errors_percent") is not None:
        words.append(f"{found['errors_percent']:.1f} % errors")
    return ", ".join(words)


def _version(one: dict[str, Any]) -> str:
    if version := one.get("version"):
        return clean(str(version)[:VERSION_LETTERS])
    return "of the server" if one.get("is_current") else "none yet"


def _is_old(one: dict[str, Any]) -> bool:
    return bool(one.get("version")) and not one.get("is_current")


def _given_back(found: dict[str, Any]) -> str:
    if host := found.get("host"):
        return f"nothing of it is left on host {clean(host)}"
    return "its machine and its address are given back"


def _unpublishes(found: dict[str, Any]) -> str:
    runs: Sequence[str] = found.get("runs") or []
    if not runs:
        return ""
    return clean(f" These services lose their public address: {', '.join(runs)}.")


def _row(one: dict[str, Any]) -> list[str | Cell]:
    texts = [str(one.get(key) or "") for key in ("backend", "region", "name", "address")]
    default = Cell("✓" if one.get("default") else "", "green")
    return [*texts, str(one.get("domain") or ""), default]


def _more(one: dict[str, Any], now: datetime) -> list[str | Cell]:
    state = str(one.get("state") or "")
    dns = one.get("dns") or {}
    return [
        Cell(state, COLOURS.get(state, "yellow")),
        str(one.get("machine") or "-"),
        price(one.get("price_usd_per_hour")),
        Cell("right", "green") if dns.get("is_right") else str(dns.get("answer") or "-"),
        age(one.get("created_at"), now=now),
        str(one.get("error") or ""),
    ]


def _tell_record(one: dict[str, Any]) -> None:
    dns = one.get("dns")
    if not dns:
        return
    say()
    if dns.get("made_by"):
        say(f"This DNS record is made by {clean(dns['made_by'])}:")
    else:
        say("Add this DNS record, so that callers find your services:")
    say()
    say(f"  {clean(dns['name'])} {clean(dns['type'])} {clean(dns['value'])}")
    if dns.get("error"):
        say()
        say(f"It is not made yet: {clean(dns['error'])}.")
    if dns.get("answer"):
        right = " (right)" if dns.get("is_right") else ""
        say()
        say(f"DNS says now of {clean(dns['asked'])}: {clean(dns['answer'])}{right}")
