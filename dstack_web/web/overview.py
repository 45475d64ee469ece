"""A project at a glance: what it spends, what needs a look, what it has, what happened."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import access as who
from apps.accounts.models import Project
from apps.accounts.projects import BUDGET
from apps.backends import queries as backends
from apps.core.http.htmx import live_url, page, render_page
from apps.core.models import Event
from apps.instances.costs import in_use, spend
from apps.runs import queries as runs
from apps.runs import states
from apps.runs.pages import listing, view_models
from apps.runs.pages.listing import Wish
from apps.runs.pages.view_models import Happening
from apps.runs.scale.desired_replicas import SCALING

SHOWN_LOOKS = 8
SHOWN_SERVICES = 8
SHOWN_EVENTS = 15
# What a person follows; of replicas and machines there is more than one reads.
FOLLOWED = (states.RUN.name, states.VERSION, SCALING, BUDGET)


@page("GET")
def overview(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    at = timezone.now()
    month = spend.of_month(where, at=at)
    events = happened(where)
    shown = month.runs[:SHOWN_SERVICES]
    looks = listing.services_of(project=where, user=access.user, wish=Wish(state=listing.LOOK))
    context = {
        "project": where,
        "month": month,
        "today": month.days[-1][1],
        "forecast_usd": spend.forecast(month, at=at),
        "budget": spend.budget_use(where, at=at, month=month),
        "services": shown,
        "names": [name for name, _ in (*shown, *events)],
        "more_services": max(len(month.runs) - SHOWN_SERVICES, 0),
        "looks": looks.rows[:SHOWN_LOOKS],
        "counts": looks.counts,
        "idle": len(in_use.idle(where)),
        "backends": backends.usable_by(where).count(),
        "missing": backends.missing(access, where),
        "happened": events,
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "runs/overview.html", context)


def happened(project: Project) -> Sequence[tuple[str, Happening]]:
    """What happened to the project's services last, newest first, each with the service's name."""
    rows = Event.objects.filter(project_id=project.pk, state_machine__in=FOLLOWED)
    events = list(rows.order_by("-id")[:SHOWN_EVENTS])
    names = runs.names_of(events)
    return [
        (names.get(event.run_id, "") if event.run_id else "", said)
        for event in events
        for said in view_models.happenings([event])
    ]
