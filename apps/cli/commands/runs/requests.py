"""`dstack requests`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from apps.cli import flags
from apps.cli.http.session import opened, print_json
from apps.cli.render.console import say, warn
from apps.cli.render.table import Cell, table
from apps.cli.render.words import moment

app = typer.Typer(rich_markup_mode=None, add_completion=False)

COLUMNS = (
    *("TIME", "STATUS", "METHOD", "PATH", "KEY", "REPLICA", "HELD", "FIRST BYTE", "TOTAL"),
    *("TOKENS", "ID"),
)
MS_PER_SECOND = 1000


@app.command()
def requests(
    run: flags.RunName,
    slowest: Annotated[bool, typer.Option("--slowest", help="Those of the last hour.")] = False,
    status: Annotated[
        str, typer.Option("--status", metavar="CLASS", help="2xx, 3xx, 4xx, 5xx or failed.")
    ] = "",
    request_id: Annotated[str, typer.Option("--id", help="The one with this X-Request-Id.")] = "",
    as_json: flags.AsJson = False,
    project: flags.Project = None,
) -> None:
    """List single requests of a run: when, what, by whose key, how they ended.

    Newest first. Times are UTC. Neither query nor body is kept.
    """
    order = "slowest" if slowest else "newest"
    with opened(project) as client:
        path = client.within("runs", run, "requests")
        found = client.get(path, order=order, status=status, request_id=request_id)
    if as_json:
        print_json(found)
        return
    if not found["kept"]:
        warn("The server keeps no single requests: its DSTACK_REQUEST_HOURS is 0.")
    elif found["one_in"] > 1:
        warn(f"Sampled: about 1 in {found['one_in']} requests is listed.")
    say(table(COLUMNS, [_row(one) for one in found["items"]]))


def _row(one: dict[str, Any]) -> list[str | Cell]:
    at = moment(one["at"])
    status, ended = one["status"], one["ended"]
    is_bad = status >= 500 or ended in ("replica", "timeout", "gateway")
    tokens = (one["tokens_in"], one["tokens_out"])
    return [
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "-",
        Cell(f"{status or '-'} {ended}".strip(), "red" if is_bad else ""),
        one["method"] or "-",
        one["path"] or "-",
        one["key"] or "-",
        "-" if one["replica"] is None else str(one["replica"]),
        _time(one["held_ms"] or None),
        _time(one["first_byte_ms"]),
        _time(one["total_ms"]),
        "-" if tokens == (None, None) else f"{tokens[0] or 0:,}/{tokens[1] or 0:,}",
        one["request_id"] or "-",
    ]


def _time(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms / MS_PER_SECOND:.2f} s" if ms >= MS_PER_SECOND else f"{ms:.3g} ms"
