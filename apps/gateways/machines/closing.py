"""A backend is not closed, a host not removed and a project not deleted under the gateways that
stand there."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends.models import Backend
from apps.core.errors import Conflict
from apps.gateways import states
from apps.gateways.machines import verbs
from apps.gateways.models import Gateway
from apps.instances.models import Instance

NAMED = 5
WHY = "its backend is being deleted"


def refuse_while_used(backend: Backend) -> None:
    """Raise Conflict while a gateway has its machine there."""
    if names := _names(Gateway.objects.filter(dns_connection=backend)):
        raise Conflict(
            f"{backend.name} has DNS records of gateways: {names}. Have them forgotten first, with "
            '`dstack gateway update NAME --dns ""`.'
        )
    if names := _names(Gateway.objects.filter(connection=backend)):
        raise Conflict(
            f"Gateways stand on machines of {backend.name}: {names}. Delete them first, with "
            "`dstack gateway delete`."
        )


def refuse_while_on(instance: Instance) -> None:
    """Raise Conflict while a gateway stands on this host. One that is being deleted is none: a host
    that never comes back would keep it, and both would stay for ever."""
    rows = Gateway.objects.filter(instance=instance).exclude(state=states.DELETING)
    if names := _names(rows):
        raise Conflict(
            f"Gateway {names} stands on host {instance.name}: delete it first, with "
            f"`dstack gateway delete {names}`."
        )


def delete_all(backend: Backend) -> None:
    """Begin to delete the gateways of a backend of which all machines are to end."""
    for gateway in Gateway.objects.filter(connection=backend):
        verbs.begin_delete(gateway, actor="", reason=WHY, at=timezone.now())


def project_deleted(project: Project) -> None:
    """Raise Conflict while the project has a gateway on a machine."""
    if names := _names(Gateway.objects.filter(made_for=project)):
        raise Conflict(f"Project {project.name} has gateways: {names}. Delete them first.")


def _names(rows: QuerySet[Gateway]) -> str:
    return ", ".join(rows.order_by("name").values_list("name", flat=True)[:NAMED])
