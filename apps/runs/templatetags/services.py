"""Links to services and gateways by the names under which costs, machines and events keep them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.models import Project
from apps.gateways import queries as gateways
from apps.runs import queries

register = template.Library()

# As costs name it; no service has a name with a space.
GATEWAY = "gateway "


@register.simple_tag
def links_to(project: Project, names: Iterable[str]) -> dict[str, str]:
    """Find the pages of what has these names, with one query of each kind: a name outlives what it
    names, and then it has none."""
    wanted = {name for name in names if name}
    found = {name for name in wanted if name.startswith(GATEWAY)}
    return _services(project, wanted - found) | _gateways(project, found)


@register.simple_tag
def linked(links: Mapping[str, str], name: str) -> SafeString:
    """Show a name, as a link where `links` has its page."""
    if name in links:
        return format_html('<a href="{}">{}</a>', links[name], name)
    return format_html('{} <span class="faint">(deleted)</span>', name)


def _services(project: Project, names: Collection[str]) -> dict[str, str]:
    if not names:
        return {}
    there = queries.runs_of(project).filter(name__in=names).order_by().distinct()
    return {
        name: reverse("runs:service", args=[project.name, name])
        for name in there.values_list("name", flat=True)
    }


def _gateways(project: Project, names: Collection[str]) -> dict[str, str]:
    if not names:
        return {}
    bare = [name.removeprefix(GATEWAY) for name in names]
    there = gateways.gateways_of(project).filter(gateway__name__in=bare)
    return {
        f"{GATEWAY}{name}": reverse("gateways:gateway", args=[project.name, name])
        for name in there.values_list("gateway__name", flat=True)
    }
