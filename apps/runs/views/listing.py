"""The list of services, and the guide that stands there while it is empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.backends import queries as backends
from apps.core.http.htmx import live_url, page, render_page
from apps.runs import queries
from apps.runs.pages import listing, ordering
from apps.runs.pages.listing import Wish
from apps.runs.pages.ordering import Column, Order
from apps.runs.starters import STARTERS

CHIPS = (
    ("", "All"),
    (listing.LOOK, "Needs a look"),
    ("running", "Running"),
    ("starting", "Starting"),
    ("asleep", "Asleep"),
    ("failed", "Failed"),
    ("stopped", "Stopped"),
)


@dataclass(frozen=True)
class Heading:
    """A column's title, and the address that orders by it; `order` is for `aria-sort`."""

    column: Column
    query: str
    order: str


@page("GET")
def service_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    wish = _wish(request)
    found = listing.services_of(project=where, user=access.user, wish=wish)
    names = list(backends.backends_of(where).values_list("name", flat=True))
    context = {
        "project": where,
        "listing": found,
        "wish": wish,
        "here": _query(wish),
        "kept": _kept(wish),
        "chips": [
            (_query(wish, state=key), text, found.counts[key], wish.state == key)
            for key, text in CHIPS
        ],
        "mine_query": _query(wish, mine=not wish.mine),
        "backends": _backends(names, wish),
        "headings": _headings(wish),
        "earlier_query": found.earlier and _query(replace(wish, page=found.earlier)),
        "later_query": found.later and _query(replace(wish, page=found.later)),
        "is_new": not (_is_narrowed(wish) or found.total or queries.runs_of(where).exists()),
        "starters": STARTERS,
        "missing": None if names else backends.missing(access, where),
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "runs/list.html", context)


def _wish(request: HttpRequest) -> Wish:
    asked = request.GET
    state, number = asked.get("state", ""), asked.get("page", "")
    return Wish(
        state=state if state in {*listing.FILTERS, listing.LOOK} else "",
        text=asked.get("q", "").strip(),
        mine=asked.get("mine") == "1",
        backend=_printable(asked.get("backend", "")),
        order=ordering.read(asked.get("sort", "")),
        page=max(_number(number), 1),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


def _printable(text: str) -> str:
    """PostgreSQL refuses text with NUL, and nothing has such a name anyway."""
    return text[:100] if text.isprintable() else ""


def _is_narrowed(wish: Wish) -> bool:
    return bool(wish.state or wish.text or wish.mine or wish.backend)


def _kept(wish: Wish) -> dict[str, str]:
    """What a search keeps of the address: all but the text and the page."""
    wanted = {
        "state": wish.state,
        "mine": "1" if wish.mine else "",
        "backend": wish.backend,
        "sort": "" if wish.order.is_usual else str(wish.order),
    }
    return {key: value for key, value in wanted.items() if value}


def _query(wish: Wish, **changed: object) -> str:
    """The address's query for a wish; what is changed begins at its first page."""
    if changed:
        wish = replace(wish, page=1, **changed)  # type: ignore[arg-type]
    wanted = _kept(wish)
    if wish.text:
        wanted["q"] = wish.text
    if wish.page > 1:
        wanted["page"] = str(wish.page)
    return urlencode(wanted)


def _headings(wish: Wish) -> list[Heading]:
    return [
        Heading(
            column,
            _query(wish, order=ordering.after_click(column, wish.order)),
            _direction(column, wish.order),
        )
        for column in ordering.COLUMNS
    ]


def _direction(column: Column, order: Order) -> str:
    if column.key != order.key:
        return ""
    return "descending" if order.falling else "ascending"


def _backends(names: Sequence[str], wish: Wish) -> Sequence[tuple[str, str, bool]]:
    """The backends to choose from, none where there is no choice."""
    if len(names) < 2 and not wish.backend:
        return []
    shown = [("", "Any backend"), *((name, name) for name in names)]
    if wish.backend and wish.backend not in names:
        shown.append((wish.backend, wish.backend))
    return [(_query(wish, backend=name), text, name == wish.backend) for name, text in shown]
