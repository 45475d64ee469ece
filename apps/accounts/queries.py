"""Every read of accounts that is more than a look-up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Member, Project, Role, Token


@dataclass(frozen=True)
class TokenGrant:
    """What a token may call: all services of the projects, or, with `run_names`, just those runs
    of its one project. `hash` is the lower-case hex SHA-256 of the token; `rps` and `burst` bound
    its calls."""

    id: int
    hash: str
    expires_at: datetime | None
    project_ids: list[int]
    run_names: list[str]
    rps: float | None
    burst: int


def callable_tokens(*, at: datetime | None = None) -> list[TokenGrant]:
    """Return every good token at `at` (now) with what it opens, by id.

    A token opens at most what its user may see: membership that ended ends it too. One that opens
    nothing is listed all the same, since a gateway answers it 403 and an unknown one 401.
    """
    at = at or timezone.now()
    live = Token.objects.filter(Q(expires_at=None) | Q(expires_at__gt=at))
    live = live.filter(revoked_at=None, user__is_active=True).select_related("user").order_by("pk")
    everything = list(
        Project.objects.filter(deleted_at=None).order_by("pk").values_list("pk", flat=True)
    )
    memberships = _projects_by_user()
    grants = []
    for token in live:
        opened = everything if token.user.is_superuser else memberships[token.user_id]
        if token.project_id is not None:
            opened = [token.project_id] if token.project_id in opened else []
        grants.append(
            TokenGrant(
                id=token.pk,
                hash=token.hash,
                expires_at=token.expires_at,
                project_ids=opened,
                run_names=token.run_names,
                rps=token.rps,
                burst=token.burst,
            )
        )
    return grants


def _projects_by_user() -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    pairs = Member.objects.order_by("project_id").values_list("user_id", "project_id")
    for user_id, project_id in pairs:
        found[user_id].append(project_id)
    return found


def members(project: Project) -> QuerySet[Member]:
    """Return the project's members with their users, by user name."""
    return Member.objects.filter(project=project).select_related("user").order_by("user__username")


def roles(access: Access, projects: Iterable[Project]) -> dict[int, str]:
    """Return one's role in each of the projects, by project id.

    A global admin is an admin everywhere.
    """
    if access.user.is_superuser:
        return {project.pk: Role.ADMIN.value for project in projects}
    own = Member.objects.filter(user=access.user, project__in=projects)
    return dict(own.values_list("project_id", "role"))
