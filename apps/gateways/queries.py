"""Reads of gateways."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries as backends
from apps.backends import services as kinds
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.gateways import states
from apps.gateways.models import Certificate, Gateway, Publication


def gateways_of(project: Project) -> QuerySet[Publication]:
    published = Publication.objects.filter(project=project).select_related("gateway")
    return published.order_by("-is_default", "gateway__name")


def on_machines() -> QuerySet[Gateway]:
    """Return the gateways on machines of clouds whose addresses are known."""
    there = Gateway.objects.filter(state__in=[states.PROVISIONING, states.RUNNING])
    made = there.filter(instance__isnull=False, instance__shared=False)
    return made.exclude(address="")


def gateway_for(project: Project, *, name: str | None = None) -> Gateway | None:
    """Return the named gateway of the project, or its default one; another while that one could
    not be made.

    Raise Invalid when the project has no gateway of that name.
    """
    published = gateways_of(project).exclude(gateway__state=states.DELETING)
    if name is None:
        candidates = [publication.gateway for publication in published]
        made = [gateway for gateway in candidates if gateway.state != states.GAVE_UP]
        return next(iter([*made, *candidates]), None)
    wanted = name.rpartition("/")[2]
    for publication in published:
        if publication.gateway.name == wanted:
            return publication.gateway
    names = ", ".join(publication.gateway.name for publication in published) or "none"
    raise Invalid(f"gateway: project {project.name} has no gateway {name!r} (it has {names}).")


def how_to_have_one(project: Project) -> str:
    """Say what to run where a project has no gateway."""
    usable = list(backends.usable_by(project))
    clouds = [each.name for each in usable if not kinds.is_standing(each.kind)]
    has_hosts = any(each.kind == backends.SSH for each in usable)
    place = "--host HOST" if has_hosts and not clouds else "--backend {} --region REGION"
    return (
        "This project has no gateway: the service will run but have no public address. Create one "
        f"with: dstack gateway create --domain example.com {place.format(*clouds, 'aws')}"
    )


def named(project: Project, name: str) -> Gateway:
    """Return the project's gateway of that name. Raise NotFound."""
    names = gateways_of(project).filter(gateway__name=name) if name.isprintable() else None
    found = names.first() if names is not None else None
    if found is None:
        raise NotFound(f"Project {project.name} has no gateway {name[:50]!r}.")
    return found.gateway


def certificates_of(gateway: Gateway) -> QuerySet[Certificate]:
    return gateway.certificates.order_by("-not_after", "pk")


def may_manage(access: Access, project: Project, gateway: Gateway) -> bool:
    """Tell whether one may change a gateway: an admin of the project, and of the whole server
    where the gateway serves other projects too."""
    if is_shared(project, gateway):
        return access.is_global_admin
    return access.is_admin(project)


def is_shared(project: Project, gateway: Gateway) -> bool:
    """Tell whether the gateway serves other projects too, or may at any time."""
    return gateway.preset or gateway.projects.exclude(pk=project.pk).exists()


def require_manage(access: Access, project: Project, gateway: Gateway) -> None:
    """Raise Forbidden unless one may change the gateway."""
    if not may_manage(access, project, gateway):
        who = "this server" if access.is_admin(project) else f"project {project.name}"
        raise Forbidden(f"Only an admin of {who} may change gateway {gateway.name}.")
