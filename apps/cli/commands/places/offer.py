"""`dstack offer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from apps.cli import answers, flags
from apps.cli.errors import CliError
from apps.cli.http.backends import missing
from apps.cli.http.session import opened, print_json
from apps.cli.publish.requirements import Requirements
from apps.cli.render.console import clean, say, warn
from apps.cli.render.offers_table import groups_table, offers_table

app = typer.Typer(rich_markup_mode=None, add_completion=False)

MOST = 50
# Lists are named in the singular in a query, once for each value.
_QUERY = {"backends": "backend", "regions": "region", "instance_types": "instance_type"}


@dataclass(frozen=True, kw_only=True)
class Options(Requirements):
    all_clouds: Annotated[
        bool, typer.Option("--all", help="Clouds that are not connected, too.")
    ] = False
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", metavar="KEYS", help="Count by gpu, backend, region."),
    ] = None
    as_json: flags.AsJson = False


@app.command()
@flags.takes(Options)
def offer(options: Options) -> None:
    """List offers without running anything.

    Ends with 1 and the reasons when nothing fits.
    """
    wishes = {_QUERY.get(key, key): value for key, value in options.wishes().items()}
    if options.all_clouds:
        wishes["all"] = True
    if options.group_by is not None:
        _show_groups(options, wishes)
    else:
        _show_offers(options, wishes)


def _show_offers(options: Options, wishes: dict[str, Any]) -> None:
    with opened(options.project) as client:
        most = options.max_offers or MOST
        found: dict[str, Any] = client.get(client.within("offers"), limit=most, **wishes)
        unconnected = "" if found["items"] else missing(client)
    if options.as_json:
        print_json(found["items"])
    for backend, reason in (found.get("silent") or {}).items():
        warn(clean(f"{backend} does not answer: {reason}"))
    note = clean(found.get("note") or "")
    if not found["items"] and not unconnected:
        raise CliError(_nothing(found, note))
    if not options.as_json:
        say(_told(found, note) if found["items"] else f" {unconnected}")


def _told(found: dict[str, Any], note: str) -> str:
    offers = [answers.offer(one) for one in found["items"]]
    total = found.get("total_offers", len(offers))
    shown = offers_table(offers, total=total, max_price=found.get("max_price_usd_per_hour"))
    return f"{shown}\n {note}" if note else shown


def _nothing(found: dict[str, Any], note: str) -> str:
    why = clean(found.get("why_none") or "No offer fits now.")
    return f"{why} {note} See `dstack offer --all`." if note else why


def _show_groups(options: Options, wishes: dict[str, Any]) -> None:
    with opened(options.project) as client:
        path = client.within("offers", "groups")
        found: dict[str, Any] = client.get(path, group_by=options.group_by, **wishes)
    if options.as_json:
        print_json(found["items"])
        return
    if not found["items"]:
        raise CliError("No offer fits. Without --group-by the reasons are told.")
    say(groups_table(found["items"]))
