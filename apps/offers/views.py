"""What a project could rent, without deploying anything."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.backends import queries as backends
from apps.core.errors import Invalid
from apps.core.http.htmx import page, render_page
from apps.offers.lists import listing
from apps.offers.lists.wishes import asked_for

SHOWN = 200
WISHES = ("cpu", "memory", "gpu", "disk")


@page("GET")
def offer_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    wishes = {key: request.GET.get(key, "").strip()[:100] for key in WISHES}
    wants_all = request.GET.get("all") == "1"
    context = {"project": where, "wishes": wishes, "all": wants_all, "problem": "", "listing": None}
    look = listing.every if wants_all else listing.connected
    try:
        spec = asked_for(**{key: text or None for key, text in wishes.items()})
        context["listing"] = found = look(project=where, spec=spec, start=0, limit=SHOWN)
    except Invalid as error:
        context["problem"] = error.message
    else:
        context["why_not"] = listing.counted(found)
    context["missing"] = backends.missing(access, where)
    return render_page(request, "offers/list.html", context)
