"""The list of services, and the guide that stands there while it is empty."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.backends import queries as backends
from apps.core.http.htmx import live_url, page, render_page
from apps.runs import queries
from apps.runs.pages import listing
from apps.runs.starters import STARTERS

CHIPS = (("", "All"), ("active", "Active"), ("failed", "Failed"), ("stopped", "Stopped"))


@page("GET")
def service_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    wish = _wish(request)
    found = listing.services_of(project=where, user=access.user, wish=wish)
    narrowed = bool(wish.state or wish.text or wish.mine or wish.cursor)
    context = {
        "project": where,
        "listing": found,
        "wish": wish,
        "chips": [(_query(wish, state=key), text, wish.state == key) for key, text in CHIPS],
        "mine_query": _query(wish, mine=not wish.mine),
        "next_query": _query(wish),
        "is_new": not (narrowed or found.rows or queries.runs_of(where).exists()),
        "starters": STARTERS,
        "missing": backends.missing(access, where),
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "runs/list.html", context)


def _wish(request: HttpRequest) -> listing.Wish:
    asked = request.GET
    state = asked.get("state", "")
    return listing.Wish(
        state=state if state in listing.FILTERS else "",
        text=asked.get("q", "").strip(),
        mine=asked.get("mine") == "1",
        cursor=asked.get("cursor", ""),
    )


def _query(wish: listing.Wish, *, state: str | None = None, mine: bool | None = None) -> str:
    wanted = {
        "state": wish.state if state is None else state,
        "q": wish.text,
        "mine": "1" if (wish.mine if mine is None else mine) else "",
    }
    return urlencode({key: value for key, value in wanted.items() if value})
