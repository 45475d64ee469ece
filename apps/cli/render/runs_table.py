"""The table of `dstack ps`, and what there is to say below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from apps.cli.answers import FINAL, Attempt, Replica, Run
from apps.cli.render.console import clean
from apps.cli.render.table import Cell, table
from apps.cli.render.words import age, length, moment, money, price

COLUMNS = ("NAME", "BACKEND", "REGION", "RESOURCES", "SPOT", "PRICE", "STATUS", "SUBMITTED")
VERBOSE = (*COLUMNS[:3], "INSTANCE", *COLUMNS[3:6], "COST", *COLUMNS[6:], "ERROR")
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


def notes(run: Run, *, now: datetime, verbose: bool = False) -> Iterator[str]:
    """Say what a person should know of a run that goes on, and what one that
    does not answer yet waits for; `verbose` says it of each replica, with what was tried."""
    if verbose:
        yield from _ending(run, now)
        yield from _standing(run, now)
    if run.has_ended:
        return
    if run.notice:
        yield clean(f"{run.name}: {run.notice}")
    if run.schedule.startswith("off"):
        yield clean(f"{run.name}: {run.schedule}")
    if run.is_published or verbose:
        return
    for replica in run.replicas:
        if replica.phase and replica.state not in FINAL:
            tried = f"; {count_tried(replica)}" if replica.tried else ""
            yield clean(f"{run.name}: replica {replica.num}: {standing(replica, now=now)}{tried}")


def _ending(run: Run, now: datetime) -> Iterator[str]:
    ends_at = moment(run.ends_at)
    if ends_at is not None and ends_at.tzinfo is not None:
        left = length(max(ends_at - now, timedelta(0)))
        yield clean(f"{run.name}: stops by itself in {left} (max_duration)")


def _standing(run: Run, now: datetime) -> Iterator[str]:
    for replica in run.replicas:
        if replica.phase:
            yield clean(f"{run.name}: replica {replica.num}: {standing(replica, now=now)}")
        if replica.placed_why and replica.state not in FINAL:
            yield clean(f"{run.name}: replica {replica.num}: {replica.placed_why}")
        if replica.tried:
            yield clean(f"{run.name}: replica {replica.num}: {count_tried(replica)}:")
            yield from (f"  {attempt_text(each)}" for each in replica.tried)


def standing(replica: Replica, *, now: datetime | None = None) -> str:
    """Write where a replica stands, with how long it has where `now` is given: `booting (40 s)`."""
    since = moment(replica.phase_since)
    if now is None or since is None or since.tzinfo is None:
        return replica.phase
    return f"{replica.phase} ({length(now - since)})"


def count_tried(replica: Replica) -> str:
    """Write how many offers could not be had."""
    return f"{len(replica.tried)} offer{'' if len(replica.tried) == 1 else 's'} tried"


def attempt_text(attempt: Attempt) -> str:
    """Write an offer that could not be had, and why."""
    named = dict.fromkeys((attempt.backend, attempt.region, attempt.instance))
    spot = " (spot)" if attempt.spot else ""
    return clean(f"{' '.join(filter(None, named))}{spot}: {attempt.reason}")


def state_cell(state: str) -> Cell:
    """Colour a state."""
    return Cell(state, _COLOURS.get(state, "yellow"))


def _rows(run: Run, *, now: datetime, verbose: bool) -> list[Row]:
    error = [run.error] if verbose else []
    tail: Row = [state_cell(run.state), age(run.created_at, now=now), *error]
    # A run that sleeps has no machine: those of its ended replicas cost nothing any more.
    replicas = [each for each in run.replicas if run.has_ended or each.state not in FINAL]
    if len(replicas) == 1:
        # Of the run, with its replicas of before.
        return [[run.name, *_machine(replicas[0], verbose, run.cost_usd), *tail]]
    total = price(run.price_usd_per_hour) if replicas else ""
    spent = [money(run.cost_usd)] if verbose else []
    blank: Row = ["", "", *([""] if verbose else []), "", "", total, *spent]
    rows: list[Row] = [[run.name, *blank, *tail]]
    for replica in replicas:
        status: Row = [state_cell(replica.state), age(replica.started_at, now=now)]
        name = f"  replica {replica.num}"
        machine = _machine(replica, verbose, replica.cost_usd)
        rows.append([name, *machine, *status, *([""] if verbose else [])])
    return rows


def _machine(replica: Replica, verbose: bool, cost_usd: float | None) -> Row:
    spent = [money(cost_usd)] if verbose else []
    if not replica.backend:
        return ["", "", *([""] if verbose else []), "", "", "", *spent]
    instance = [replica.instance] if verbose else []
    spot = "yes" if replica.spot else "no"
    an_hour = price(replica.price_usd_per_hour)
    return [replica.backend, replica.region, *instance, replica.resources, spot, an_hour, *spent]
