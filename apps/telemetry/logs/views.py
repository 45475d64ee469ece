"""A service's log in its page: the newest lines, then what comes.

The page hears by its stream that there is more and asks for the lines after its cursor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from apps.accounts import access as who
from apps.core.http.htmx import page, render_page
from apps.runs import queries as runs
from apps.runs.models import Run
from apps.telemetry.logs import queries
from apps.telemetry.logs.queries import Filter, Line

SHOWN_LINES = 500
MOST_NEWEST, LONGEST_NEWEST = 50, 500
LONGEST_SEARCH = 200
# Colours and cursor movements of terminals; what they paint is left, they are not.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
HUES = 8


@dataclass(frozen=True)
class Row:
    """A line as the page shows it; `html` is escaped, with what was searched for marked."""

    at: datetime
    replica: int
    hue: int
    html: SafeString


@page("GET")
def logs(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Show the newest lines; with `after`, only the rows that came after that cursor."""
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    wanted = _wanted(request)
    after = request.GET.get("after")
    if after is not None:
        return _more(request, run, wanted, after)
    if "newest" in request.GET:
        return _newest(request, run)
    lines = queries.tail(run=run, replica=wanted.replica, limit=SHOWN_LINES, grep=wanted.grep)
    context = {
        "project": where,
        "run": run,
        "rows": _rows(lines, wanted),
        "cursor": lines[-1].cursor if lines else "0-0",
        "wanted": wanted,
        "replicas": _replicas(run),
    }
    return render_page(request, "telemetry/logs.html", context)


def _newest(request: HttpRequest, run: Run) -> HttpResponse:
    """The last lines as plain text, for a page that shows how a service starts."""
    lines = queries.tail(run=run, replica=None, limit=_count(request.GET["newest"]))
    text = "\n".join(ESCAPES.sub("", line.text)[:LONGEST_NEWEST] for line in lines)
    return HttpResponse(escape(text) or "It has written nothing yet.")


def _count(text: str) -> int:
    return min(int(text), MOST_NEWEST) if re.fullmatch("[0-9]{1,3}", text, re.ASCII) else 1


def _more(request: HttpRequest, run: Run, wanted: Filter, after: str) -> HttpResponse:
    reading = queries.scan(run=run, cursor=after, wanted=wanted, limit=SHOWN_LINES)
    response = render(request, "telemetry/lines.html", {"rows": _rows(reading.lines, wanted)})
    response["X-Log-Cursor"] = reading.cursor
    response["X-Log-More"] = "" if reading.complete else "1"
    return response


def _wanted(request: HttpRequest) -> Filter:
    replica = request.GET.get("replica", "")
    number = int(replica) if re.fullmatch("[0-9]{1,6}", replica, re.ASCII) else None
    text = request.GET.get("q", "")[:LONGEST_SEARCH]
    return Filter(replica=number, grep="".join(c for c in text if c.isprintable()))


def _replicas(run: Run) -> list[tuple[int, int]]:
    nums = run.replicas.order_by("num").values_list("num", flat=True).distinct()
    return [(num, num % HUES) for num in nums]


def _rows(lines: Sequence[Line], wanted: Filter) -> list[Row]:
    return [
        Row(line.time, line.replica, line.replica % HUES, _html(line.text, wanted.grep))
        for line in lines
    ]


def _html(text: str, search: str) -> SafeString:
    plain = ESCAPES.sub("", text)
    if not search:
        return mark_safe(escape(plain))
    parts = re.split(f"({re.escape(search)})", plain, flags=re.IGNORECASE)
    # Every second part is what was searched for.
    marked = [f"<mark>{escape(p)}</mark>" if i % 2 else escape(p) for i, p in enumerate(parts)]
    return mark_safe("".join(marked))
