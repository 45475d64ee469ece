"""What a project could rent, without deploying anything."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.backends import queries as backends
from apps.core.errors import Invalid
from apps.core.htmx import page, render_page
from apps.offers import queries, reasons, services

SHOWN = 200
WISHES = ("cpu", "memory", "gpu", "disk")


@page("GET")
def offer_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    wishes = {key: request.GET.get(key, "").strip()[:100] for key in WISHES}
    context = {"project": where, "wishes": wishes, "problem": "", "found": None, "shown": []}
    try:
        spec = services.asked_for(**{key: text or None for key, text in wishes.items()})
        found = queries.find(project=where, spec=spec)
    except Invalid as error:
        context["problem"] = error.message
    else:
        refused = found.matches.refused.items()
        context |= {
            "found": found,
            "shown": found.matches.offers[:SHOWN],
            "why_not": [f"{len(about)} × {reasons.told(why, about)}" for why, about in refused],
            "nothing": queries.why_none(found),
        }
    context["missing"] = backends.missing(access, where)
    return render_page(request, "offers/list.html", context)
