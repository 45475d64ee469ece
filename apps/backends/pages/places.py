"""Whose backends a page shows: those of a project, or those of the server. One page for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts import access as who
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries
from apps.backends.models import Backend, Check
from apps.core.errors import NotFound


@dataclass(frozen=True)
class Place:
    """Where a page stands; `project` is None for the server's own."""

    access: Access
    project: Project | None

    @property
    def name(self) -> str:
        return self.project.name if self.project else "this server"

    @property
    def may_connect(self) -> bool:
        if self.project is None:
            return self.access.is_global_admin
        return self.access.is_admin(self.project)

    def backends(self) -> QuerySet[Backend]:
        if self.project is None:
            return queries.backends_of_server()
        return queries.backends_of(self.project)

    def backend(self, name: str) -> Backend:
        """Return the backend of that name. Raise NotFound."""
        if self.project is None:
            return queries.named_of_server(name)
        return queries.named(self.project, name)

    def check(self, pk: Any) -> Check:
        """Return a check of here that one may see. Raise NotFound."""
        here = Q(project=self.project)
        if self.access.is_global_admin:
            here |= Q(project=None)
        found = Check.objects.select_related("backend").filter(here, pk=pk).first()
        if found is None:
            raise NotFound("There is no such check; one that is over is forgotten after a day.")
        return found

    def check_before(self, pk: str, *, kind: str) -> Check | None:
        """Return the check of a form that is sent again, None where it is forgotten."""
        try:
            found = self.check(UUID(pk))
        except (ValueError, NotFound):
            return None
        return found if found.kind == kind else None

    def url(self, page: str, *words: object, **query: str) -> str:
        """Return the address of a page of backends here."""
        prefix = "backends:server_" if self.project is None else "backends:"
        first = [] if self.project is None else [self.project.name]
        path = reverse(f"{prefix}{page}", args=[*first, *words])
        return f"{path}?{urlencode(query)}" if query else path

    @property
    def list_url(self) -> str:
        return self.url("list")

    @property
    def connect_url(self) -> str:
        return self.url("connect")


def place_of(request: HttpRequest, project: str | None) -> Place:
    """Return where the page stands. Raise NotFound, and Forbidden for the server's own."""
    access = who.of(request)
    if project is None:
        access.require_global_admin()
        return Place(access, None)
    return Place(access, access.project(project))
