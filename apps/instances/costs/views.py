"""The page of what a project spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http.htmx import live_url, page, render_page
from apps.instances.costs import spend
from apps.instances.costs.spend import Spend, Sum

SPANS = (7, 30, 90)
USUAL = 30
# The chart is drawn in these units, whatever its size on the screen.
WIDTH, HEIGHT, GAP = 900, 100, 4


@dataclass(frozen=True)
class Bar:
    """A day of the chart; what stood idle is the upper part."""

    day: date
    sum: Sum
    left: int
    width: int
    top: int
    height: int
    idle_height: int

    @property
    def used_height(self) -> int:
        return self.height - self.idle_height

    @property
    def idle_bottom(self) -> int:
        return self.top + self.idle_height


@page("GET")
def spend_page(request: HttpRequest, project: str) -> HttpResponse:
    where = who.of(request).project(project)
    asked = request.GET.get("days", "")
    days = next((span for span in SPANS if str(span) == asked), USUAL)
    at = timezone.now()
    found = spend.of(where, days=days, at=at)
    context = {
        "project": where,
        "spend": found,
        "names": [name for name, _ in found.runs],
        "budget": spend.budget_use(where, at=at),
        "span": days,
        "spans": SPANS,
        "bars": bars(found),
        "dearest": max((each.usd for _, each in found.days), default=Decimal(0)),
        "newest_first": [pair for pair in reversed(found.days) if pair[1].hours],
        "width": WIDTH,
        "height": HEIGHT,
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "instances/spend.html", context)


def bars(found: Spend) -> Sequence[Bar]:
    """Return the chart's bars; what is not nothing is seen, however little it is."""
    most = max((each.usd for _, each in found.days), default=Decimal(0))
    step = WIDTH // max(len(found.days), 1)
    drawn = []
    for number, (day, each) in enumerate(found.days):
        height = _part(each.usd, most)
        idle = min(_part(each.idle_usd, most), height)
        gap = min(GAP, step // 3)
        drawn.append(Bar(day, each, number * step, step - gap, HEIGHT - height, height, idle))
    return drawn


def _part(amount: Decimal, most: Decimal) -> int:
    if not amount:
        return 0
    return max(round(amount / most * HEIGHT), 2)
