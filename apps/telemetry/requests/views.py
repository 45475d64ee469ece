"""A service's requests in its page: the newest or the slowest, one row each."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http.htmx import page, render_page
from apps.runs import queries as runs
from apps.telemetry.requests import queries
from apps.telemetry.requests.queries import NEWEST, ORDERS, STATUSES, Wanted

SHOWN_ROWS = 100
LONGEST_ID = 128
STATUS_CHIPS = (("", "All"), *((each, each) for each in STATUSES[:-1]), (STATUSES[-1], "Failed"))
ENDED = {
    "caller": "the caller left",
    "replica": "the replica broke off",
    "timeout": "timed out",
    "gateway": "the gateway broke off",
}


@page("GET")
def requests(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Show single requests of a service; what cannot be read in the query asks for nothing less."""
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    wanted = wanted_by(request)
    at = timezone.now()
    found = queries.find(run=run, wanted=wanted, limit=SHOWN_ROWS, at=at)
    context = {
        "project": where,
        "run": run,
        "wanted": wanted,
        "rows": [(each, ENDED.get(each.row.ended, "")) for each in found],
        "statuses": STATUS_CHIPS,
        "is_on": queries.is_on(),
        "is_untold": not found and queries.is_untold(run, at=at),
        "one_in": queries.one_in(run),
        "query": request.GET.urlencode(),
    }
    return render_page(request, "telemetry/requests.html", context)


def wanted_by(request: HttpRequest) -> Wanted:
    order, status = request.GET.get("order", ""), request.GET.get("status", "")
    asked = request.GET.get("id", "").strip()[:LONGEST_ID]
    return Wanted(
        order=order if order in ORDERS else NEWEST,
        status=status if status in STATUSES else "",
        request_id="".join(char for char in asked if "!" <= char <= "~"),
    )
