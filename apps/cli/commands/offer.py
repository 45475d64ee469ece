"""`dstack offer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from apps.cli import answers, flags
from apps.cli.backends import missing
from apps.cli.console import clean, say, warn
from apps.cli.errors import CliError
from apps.cli.offers_table import offers_table
from apps.cli.requirements import Requirements
from apps.cli.session import opened, print_json

app = typer.Typer(rich_markup_mode=None, add_completion=False)

MOST = 50
# Lists are named in the singular in a query, once for each value.
_QUERY = {"backends": "backend", "regions": "region", "instance_types": "instance_type"}


@dataclass(frozen=True, kw_only=True)
class Options(Requirements):
    as_json: flags.AsJson = False


@app.command()
@flags.takes(Options)
def offer(options: Options) -> None:
    """List offers without running anything.

    Ends with 1 and the reasons when nothing fits.
    """
    wishes = {_QUERY.get(key, key): value for key, value in options.wishes().items()}
    with opened(options.project) as client:
        most = options.max_offers or MOST
        found: dict[str, Any] = client.get(client.within("offers"), limit=most, **wishes)
        unconnected = "" if found["items"] else missing(client)
    if options.as_json:
        print_json(found["items"])
    for backend, reason in (found.get("silent") or {}).items():
        warn(clean(f"{backend} does not answer: {reason}"))
    offers = [answers.offer(one) for one in found["items"]]
    if not offers and not unconnected:
        raise CliError(clean(found.get("why_none") or "No offer fits now."))
    if options.as_json:
        return
    if not offers:
        say(f" {unconnected}")
        return
    total = found.get("total_offers", len(offers))
    say(offers_table(offers, total=total, max_price=found.get("max_price_usd_per_hour")))
