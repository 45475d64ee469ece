"""`dstack spend`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import clean, say
from apps.cli.render.table import Cell, table
from apps.cli.render.words import money, price

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True)
class Options:
    days: Annotated[
        int, typer.Option(min=1, max=366, help="So many days, today (UTC) included.")
    ] = 30
    as_json: flags.AsJson = False
    project: flags.Project = None


@app.command()
@flags.takes(Options)
def spend(options: Options) -> None:
    """Show what the project's machines cost, by run and by day.

    IDLE is the part of it for machines that a run had left and that had no work.
    """
    with opened(options.project) as client:
        found = client.get(client.within("spend"), days=options.days)
    if options.as_json:
        print_json(found)
        return
    items = found["items"]
    if items:
        runs = sorted(_sums(items, "run"), key=lambda row: -row.cost)
        say(table(("RUN", "HOURS", "IDLE", "COST"), [row.cells() for row in runs]))
        say("")
        say(table(("DAY", "HOURS", "IDLE", "COST"), [row.cells() for row in _sums(items, "day")]))
        say("")
    say(_total(found))
    if budget := found.get("budget"):
        say(_budget(budget))


@dataclass
class _Sum:
    name: str
    hours: float = 0
    idle: float = 0
    cost: float = 0

    def cells(self) -> list[str | Cell]:
        idle = money(self.idle) if self.idle else "-"
        return [clean(self.name) or "-", f"{self.hours:,.1f}", idle, money(self.cost)]


def _sums(items: Iterable[dict[str, Any]], key: str) -> list[_Sum]:
    found: dict[str, _Sum] = defaultdict(lambda: _Sum(""))
    for each in items:
        row = found[each[key]]
        row.name = each[key]
        row.hours += each["hours"]
        row.cost += each["cost_usd"]
        row.idle += each["cost_usd"] if each["idle"] else 0
    return list(found.values())


def _total(found: dict[str, Any]) -> str:
    use, most = found["in_use"], found["max_usd_per_hour"]
    count = found["max_instances"]
    bound = f" of {price(most)}/h" if most is not None else ""
    instances = f"{use['instances']}{f' of {count}' if count is not None else ''}"
    return (
        f" {money(found['cost_usd'])} since {found['since']}, {money(found['idle_usd'])} of it "
        f"idle; now {price(use['price_usd_per_hour'])}/h{bound}, {instances} "
        f"instance{'' if instances == '1' else 's'}."
    )


def _budget(found: dict[str, Any]) -> str:
    state = {
        "near": ", which is near",
        "reached": ": it is reached, and no machine with a price is made",
    }
    return (
        f" {money(found['spent_usd'])} of the budget of {money(found['usd_per_month'])} for "
        f"{found['month']}{state.get(found['state'], '')}; {money(found['left_usd'])} left, "
        f"{money(found['forecast_usd'])} at this rate."
    )
