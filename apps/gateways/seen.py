"""What one may see of a gateway through a project.

A gateway that several projects share knows the host names of all of them: each project sees its
own, those who manage the gateway see all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.gateways import queries, states
from apps.gateways.models import Certificate, Gateway

# The error itself may name services of other projects.
UNNAMED_ERROR = "This gateway needs a look: an admin of this server sees what is wrong."


@dataclass(frozen=True)
class Seen:
    """`hosts` say how it stands with their certificates, `certificates` are those brought."""

    hosts: Sequence[Mapping[str, Any]]
    certificates: Sequence[Certificate]
    error: str

    @property
    def failed_hosts(self) -> int:
        return sum(each["state"] == states.FAILED for each in self.hosts)

    @property
    def pending_hosts(self) -> int:
        return sum(each["state"] == states.PENDING for each in self.hosts)


def of(access: Access, project: Project, gateway: Gateway) -> Seen:
    """Return what one sees of a gateway that is the project's."""
    brought = list(queries.certificates_of(gateway))
    if access.is_global_admin or not queries.is_shared(project, gateway):
        return Seen(gateway.secured, brought, gateway.error)
    runs = _run_hosts(project, gateway)
    members = set(project.members.values_list("username", flat=True))
    return Seen(
        hosts=[each for each in gateway.secured if each["host"] in runs | _own_hosts(gateway)],
        certificates=[
            each for each in brought if runs.issuperset(each.hosts) and each.brought_by in members
        ],
        error=UNNAMED_ERROR if gateway.error else "",
    )


def _run_hosts(project: Project, gateway: Gateway) -> set[str]:
    """A run that ends has given up its name: another project's may have it."""
    runs = gateway.runs.filter(project=project)
    names = runs.filter(stop_requested_at=None, finished_at=None).values_list("name", flat=True)
    return {f"{name}.{gateway.domain}" for name in names}


def _own_hosts(gateway: Gateway) -> set[str]:
    """Names of the gateway itself, which every caller knows."""
    return {gateway.domain, f"gateway.{gateway.domain}", *gateway.own_hosts}
