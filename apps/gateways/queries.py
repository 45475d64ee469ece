"""Reads of gateways."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.accounts.models import Project
from apps.core.errors import Invalid
from apps.gateways.models import Gateway, Publication


def gateways_of(project: Project) -> QuerySet[Publication]:
    published = Publication.objects.filter(project=project).select_related("gateway")
    return published.order_by("-is_default", "gateway__name")


def gateway_for(project: Project, *, name: str | None = None) -> Gateway | None:
    """This function will return the named gateway of the project, or its default one.

    Raises Invalid when the project has no gateway of that name.
    """
    published = gateways_of(project)
    if name is None:
        first = published.first()
        return first.gateway if first else None
    wanted = name.rpartition("/")[2]
    for publication in published:
        if publication.gateway.name == wanted:
            return publication.gateway
    names = ", ".join(publication.gateway.name for publication in published) or "none"
    raise Invalid(f"gateway: project {project.name} has no gateway {name!r} (it has {names}).")
