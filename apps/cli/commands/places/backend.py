"""`dstack backend`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from apps.cli import backend_config, flags
from apps.cli.completion import suggestions
from apps.cli.errors import CliError, Refused
from apps.cli.http.backends import LOCAL, next_step, settled
from apps.cli.http.client import Client, address
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import ask, clean, say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age

app = typer.Typer(
    help="Connect, check, list and delete backends: where services run.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

ALL = "all"
NAME = typer.Argument(help="The name of the backend.", autocompletion=suggestions.backends)
Name = Annotated[str, NAME]
ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="YAML or JSON; - is stdin.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key, such as creds.type=default."),
]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not ask the cloud.")]
COLUMNS = ("NAME", "KIND", "STATE", "CHECK", "INSTANCES", "PRICE", "CONNECTED")


@dataclass(frozen=True, kw_only=True)
class Options:
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="aws, azure, gcp, tensordock, or local.")
    ]
    name: Annotated[
        str | None, typer.Option("--name", help="What to call it; its kind where left out.")
    ] = None
    config: ConfigFile = None
    pairs: Pairs = None
    no_check: NoCheck = False
    shared: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PROJECT", help="One of the server, for these or for all."),
    ] = None
    project: flags.Project = None

    def body(self) -> dict[str, Any]:
        said: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.config is not None or self.pairs:
            said["config"] = backend_config.read(self.config, self.pairs or [])
        if self.no_check:
            said["check"] = False
        if self.shared:
            said["projects"] = ALL if ALL in self.shared else self.shared
        return {key: value for key, value in said.items() if value is not None}


@app.command()
@flags.takes(Options)
def connect(options: Options) -> None:
    """Connect a cloud, once it was asked whether that works."""
    body = options.body()
    with opened(options.project) as client:
        path = address("backends") if options.shared else client.within("backends")
        made = _asked(client, "POST", path, body, is_of_server=bool(options.shared))
        where = "the server" if options.shared else f"project {client.project}"
    if options.kind == LOCAL:
        say(f"Services of {where} can run on {LOCAL} now.")
        return
    say(f"Backend {clean(made.get('name') or made.get('backend'))} of {where} is connected.")
    _tell(made)


@app.command("list")
def list_backends(as_json: flags.AsJson = False, project: flags.Project = None) -> None:
    """List the backends of the project."""
    with opened(project) as client:
        path = client.within("backends")
        found = list(client.items(path))
        left: list[dict[str, Any]] = client.get(path).get("left_behind") or []
        name = client.project
    if as_json:
        print_json(found)
        return
    if found:
        now = datetime.now(UTC)
        say(table(COLUMNS, [_row(one, now) for one in found]))
    else:
        say(next_step(name))
    if left:
        say("\n" + "\n".join(f" {_left(one)}" for one in left))


@app.command()
def check(name: Name, project: flags.Project = None) -> None:
    """Ask the cloud whether a backend works; ends with 1 and each problem where it does not."""
    with opened(project) as client:
        path = client.within("backends", name, "check")
        found = settled(client, client.post(path, {}), is_of_server=False)
    if found["problems"]:
        problems = [clean(each["message"]) for each in found["problems"]]
        raise CliError(f"Backend {clean(name)} has problems:", notes=problems)
    say(f"Backend {clean(name)} works.")
    _tell(found)


@app.command()
def update(
    name: Name,
    config: ConfigFile = None,
    pairs: Pairs = None,
    no_check: NoCheck = False,
    project: flags.Project = None,
) -> None:
    """Change how a backend is connected, such as its keys; what is left out stays."""
    body = {"config": backend_config.read(config, pairs or []), "check": not no_check}
    with opened(project) as client:
        path = client.within("backends", name)
        made = _asked(client, "PATCH", path, body, is_of_server=False)
    say(f"Backend {clean(name)} is changed.")
    _tell(made)


@app.command()
def disable(name: Name, project: flags.Project = None) -> None:
    """Place nothing new on a backend; what runs there goes on."""
    _set_disabled(name, project, disabled=True)


@app.command()
def enable(name: Name, project: flags.Project = None) -> None:
    """Let new replicas be placed on a backend again."""
    _set_disabled(name, project, disabled=False)


@app.command()
def delete(
    name: Name,
    yes: flags.Yes = False,
    force: Annotated[bool, typer.Option("--force", help="End its machines first.")] = False,
    project: flags.Project = None,
) -> None:
    """Delete a backend; refused while services or machines need it."""
    with opened(project) as client:
        question = f"Delete backend {name} of project {client.project}"
        if not yes and not ask(f"{question} and end its machines?" if force else f"{question}?"):
            raise CliError(f"Backend {name} was not deleted.")
        path = client.within("backends", name)
        left = client.send("DELETE", path, params={"force": "true" if force else None})
    if left:
        say(
            f"{name} ends its machines ({left['instances']} left) and is gone after the last. If "
            "its cloud refuses its keys, `dstack backend list` says in minutes what may run on."
        )
    else:
        say(f"{name} is deleted.")


@app.command()
def policy(kind: Annotated[str, typer.Argument(metavar="KIND", help="aws, azure or gcp.")]) -> None:
    """Print the least that a cloud must allow, to be pasted there."""
    with opened(None) as client:
        kinds = list(client.items(address("backend-kinds")))
    found = [one["policy"] for one in kinds if one["kind"] == kind and one["policy"]]
    if not found:
        known = ", ".join(one["kind"] for one in kinds if one["policy"])
        raise CliError(f"There is no policy for {clean(kind)[:40]!r}; there is one for: {known}.")
    say(found[0])


def _asked(
    client: Client, method: str, path: str, body: dict[str, Any], *, is_of_server: bool
) -> dict[str, Any]:
    """Connect or change, and follow a check that takes long. Raise CliError with each problem."""
    try:
        made: dict[str, Any] = client.send(method, path, json=body)
    except Refused as refusal:
        problems = [p.message for p in refusal.problems if p.message not in refusal.message]
        raise CliError(refusal.message, notes=problems) from refusal
    if "problems" not in made:
        return made
    found = settled(client, made, is_of_server=is_of_server)
    if found["problems"]:
        problems = [clean(each["message"]) for each in found["problems"]]
        raise CliError("Nothing was changed, since the check found problems:", notes=problems)
    return found


def _set_disabled(name: str, project: str | None, *, disabled: bool) -> None:
    with opened(project) as client:
        path = client.within("backends", name)
        made = client.send("PATCH", path, json={"disabled": disabled})
    say(f"{name} is {'disabled: what runs there goes on' if disabled else 'enabled'}.")
    if not disabled:
        _tell({"notes": made.get("notes")})


def _tell(made: dict[str, Any]) -> None:
    """Say what a check found of the account, and what keeps machines from being of use; a check
    says that, too."""
    said = [*((made.get("check") or made).get("facts") or []), *(made.get("notes") or [])]
    for fact in dict.fromkeys(said):
        say(f"  {clean(fact)}")


def _left(one: dict[str, Any]) -> str:
    what, name, region = (clean(one[key]) for key in ("what", "name", "region"))
    costs = f", ${one['price_usd_per_hour']:g}/h" if one.get("price_usd_per_hour") else ""
    ref = clean(one["ref"]) or "its cloud never said whether it made it"
    return (
        f"The {what} {name} ({ref}) in {region}{costs} may still be in the account "
        f"of {clean(one['backend'])}, which was deleted: it is tagged {clean(one['tag'])}. End it "
        "there, or connect the account again."
    )


def _row(one: dict[str, Any], now: datetime) -> list[str | Cell]:
    state = str(one.get("state") or "enabled")
    asked = (one.get("check") or {}).get("state") or ""
    tones = {"passed": "green", "problems": "red", "enabled": "green", "disabled": "yellow"}
    return [
        str(one["name"]),
        str(one["kind"]),
        Cell(state, tones.get(state, "")),
        Cell(asked, tones.get(asked, "")),
        str(one.get("instances", "")),
        f"${one.get('price_usd_per_hour') or 0:g}",
        age(one.get("created_at"), now=now),
    ]
