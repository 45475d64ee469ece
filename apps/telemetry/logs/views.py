"""A service's log in its page: the newest lines, then what comes.

The page hears by its stream that there is more and asks for the lines after its cursor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString

from apps.accounts import access as who
from apps.core.http.htmx import page, render_page
from apps.runs import queries as runs
from apps.runs import states
from apps.runs.models import Run
from apps.telemetry.logs import levels, queries, terminal
from apps.telemetry.logs.queries import Filter, Line

SHOWN_LINES = 500
MOST_NEWEST, LONGEST_NEWEST = 50, 500
LONGEST_SEARCH = 200
SINCE = {"15m": "Last 15 minutes", "1h": "Last hour", "24h": "Last 24 hours"}
HUES = 8


@dataclass(frozen=True)
class Row:
    """A line as the page shows it; `html` is escaped, has a terminal's colours, and marks what was
    searched for."""

    at: datetime
    replica: int
    hue: int
    level: str
    html: SafeString


@page("GET")
def logs(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Show the newest lines; with `after`, only the rows that came after that cursor."""
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    wanted = wanted_by(request)
    after = request.GET.get("after")
    if after is not None:
        return _more(request, run, wanted, after)
    if "newest" in request.GET:
        return _newest(request, run)
    # Where none fits, the page goes on behind all that there was.
    end = queries.begin_of_tail(run=run, wanted=wanted, count=0)
    lines = queries.tail(run=run, wanted=wanted, limit=SHOWN_LINES)
    context = {
        "project": where,
        "run": run,
        "rows": _rows(lines, wanted),
        "cursor": lines[-1].cursor if lines else end,
        "wanted": wanted,
        "since": since if (since := request.GET.get("since", "")) in SINCE else "",
        "times": SINCE.items(),
        "query": request.GET.urlencode(),
        "replicas": _replicas(run),
    }
    return render_page(request, "telemetry/logs.html", context)


def _newest(request: HttpRequest, run: Run) -> HttpResponse:
    """The last lines as plain text, for a page that shows how a service starts."""
    wanted = Filter(workload=_workload(request.GET.get("workload", "")))
    lines = queries.tail(run=run, wanted=wanted, limit=_count(request.GET["newest"]))
    text = "\n".join(terminal.plain(line.text)[:LONGEST_NEWEST] for line in lines)
    return HttpResponse(escape(text) or "It has written nothing yet.")


def _count(text: str) -> int:
    return min(int(text), MOST_NEWEST) if re.fullmatch("[0-9]{1,3}", text, re.ASCII) else 1


def _workload(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _more(request: HttpRequest, run: Run, wanted: Filter, after: str) -> HttpResponse:
    reading = queries.scan(run=run, cursor=after, wanted=wanted, limit=SHOWN_LINES)
    response = render(request, "telemetry/lines.html", {"rows": _rows(reading.lines, wanted)})
    response["X-Log-Cursor"] = reading.cursor
    response["X-Log-More"] = "" if reading.complete else "1"
    return response


def wanted_by(request: HttpRequest) -> Filter:
    """Return which lines the query asks for; what cannot be read asks for nothing less."""
    replica = request.GET.get("replica", "")
    number = int(replica) if re.fullmatch("[0-9]{1,6}", replica, re.ASCII) else None
    text = request.GET.get("q", "")[:LONGEST_SEARCH]
    level, since = request.GET.get("level", ""), request.GET.get("since", "")
    return Filter(
        replica=number,
        grep="".join(c for c in text if c.isprintable()),
        level=level if level in levels.SHOWN else "",
        since=queries.since(since) if since in SINCE else None,
    )


def _replicas(run: Run) -> dict[str, list[tuple[int, int]]]:
    """The numbers of replicas with their hues: those that live, and the others."""
    ended: dict[int, bool] = {}
    for num, state in run.replicas.order_by("num").values_list("num", "state"):
        ended[num] = state in states.REPLICA.final and ended.get(num, True)
    pairs = {num: (num, num % HUES) for num in ended}
    live = [pairs[num] for num, is_over in ended.items() if not is_over]
    earlier = [pairs[num] for num, is_over in ended.items() if is_over]
    # Of a service that is over, all are what one came to see.
    return {"live": live, "earlier": earlier} if live else {"live": earlier, "earlier": []}


def _rows(lines: Sequence[Line], wanted: Filter) -> list[Row]:
    """Lines come as each replica sends them; they are shown as they were written."""
    return [_row(line, wanted) for line in sorted(lines, key=lambda line: line.time)]


def _row(line: Line, wanted: Filter) -> Row:
    level = levels.of(terminal.plain(line.text))
    html = terminal.as_html(line.text, search=wanted.grep)
    return Row(line.time, line.replica, line.replica % HUES, level, html)
