"""The table of `dstack ps`, and what there is to say below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from apps.cli.answers import FINAL, Replica, Run
from apps.cli.render.console import clean
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age, price

COLUMNS = ("NAME", "BACKEND", "REGION", "RESOURCES", "SPOT", "PRICE", "STATUS", "SUBMITTED")
VERBOSE = (*COLUMNS[:3], "INSTANCE", *COLUMNS[3:], "ERROR")
_COLOURS = {
    "running": "green",
    "failed": "red",
    "unhealthy": "red",
    "stopped": "dim",
    "idle": "blue",
}

Row = list[str | Cell]


def runs_table(runs: Iterable[Run], *, now: datetime, verbose: bool = False) -> str:
    """Lay out runs; one with several replicas has a row for each of them."""
    rows = [row for run in runs for row in _rows(run, now=now, verbose=verbose)]
    return table(VERBOSE if verbose else COLUMNS, rows)


def notes(run: Run) -> Iterator[str]:
    """Say what a person should know of a run that goes on, and what one that
    does not answer yet waits for."""
    if run.has_ended:
        return
    if run.notice:
        yield clean(f"{run.name}: {run.notice}")
    if run.schedule.startswith("off"):
        yield clean(f"{run.name}: {run.schedule}")
    if run.is_published:
        return
    for replica in run.replicas:
        if replica.phase and replica.state not in FINAL:
            yield clean(f"{run.name}: replica {replica.num}: {replica.phase}")


def state_cell(state: str) -> Cell:
    """Colour a state."""
    return Cell(state, _COLOURS.get(state, "yellow"))


def _rows(run: Run, *, now: datetime, verbose: bool) -> list[Row]:
    error = [run.error] if verbose else []
    tail: Row = [state_cell(run.state), age(run.created_at, now=now), *error]
    if len(run.replicas) == 1:
        return [[run.name, *_machine(run.replicas[0], verbose), *tail]]
    total = price(run.price_usd_per_hour) if run.replicas else ""
    blank: Row = ["", "", *([""] if verbose else []), "", "", total]
    rows: list[Row] = [[run.name, *blank, *tail]]
    for replica in run.replicas:
        status: Row = [state_cell(replica.state), age(replica.started_at, now=now)]
        name = f"  replica {replica.num}"
        rows.append([name, *_machine(replica, verbose), *status, *([""] if verbose else [])])
    return rows


def _machine(replica: Replica, verbose: bool) -> Row:
    if not replica.backend:
        return ["", "", *([""] if verbose else []), "", "", ""]
    instance = [replica.instance] if verbose else []
    spot = "yes" if replica.spot else "no"
    cost = price(replica.price_usd_per_hour)
    return [replica.backend, replica.region, *instance, replica.resources, spot, cost]
