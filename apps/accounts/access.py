"""Who is asking, and what they may see and do. Pages and API ask the same object.

What one may not see is not found (404); what one sees but may not do is forbidden (403).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from apps.accounts.models import Member, Project, Role, Token, User
from apps.core.errors import Forbidden, NotFound, NotSignedIn
from apps.core.http.bearer import token_of
from apps.core.ids import token_hash
from apps.core.threads import in_thread

# Once a minute is what a person wants to know, and spares one write per request.
LAST_USED_STEP = timedelta(minutes=1)


@dataclass(frozen=True)
class Access:
    """A signed-in person, by session (`token` is None) or by token."""

    user: User
    token: Token | None = None

    @property
    def actor(self) -> str:
        return self.user.get_username()

    @property
    def is_global_admin(self) -> bool:
        """A global admin's token that is bound to one project opens that project only."""
        return self.user.is_superuser and (self.token is None or self.token.project_id is None)

    def projects(self) -> QuerySet[Project]:
        """Return the projects that one may see, by name."""
        found = Project.objects.filter(deleted_at=None).order_by("name")
        if not self.user.is_superuser:
            found = found.filter(member__user=self.user)
        if self.token is not None and self.token.project_id is not None:
            found = found.filter(pk=self.token.project_id)
        return found

    def project(self, name: str) -> Project:
        """Return the project of that name.

        Raise NotFound where there is none, and alike where one may not see it.
        """
        # PostgreSQL refuses text with NUL or lone surrogates; no project is called so anyway.
        found = self.projects().filter(name=name).first() if name.isprintable() else None
        if found is None:
            raise NotFound(f"There is no project {name[:50]!r}, or you are not a member of it.")
        return found

    def is_admin(self, project: Project) -> bool:
        """Tell whether one may manage the project and its members."""
        if self.user.is_superuser:
            return self.token is None or self.token.project_id in (None, project.pk)
        roles = Member.objects.filter(project=project, user=self.user, role=Role.ADMIN)
        return self.projects().filter(pk=project.pk).exists() and roles.exists()

    def require_admin(self, project: Project) -> None:
        """Raise Forbidden unless one is an admin of the project."""
        if not self.is_admin(project):
            raise Forbidden(f"Only an admin of project {project.name} may do this.")

    def require_global_admin(self) -> None:
        """Raise Forbidden unless one is an admin of the whole server."""
        if not self.is_global_admin:
            raise Forbidden("Only an admin of this server may do this.")

    def refreshed(self) -> Access:
        """Look again, for those who stay: streams that live for hours.

        Raise NotSignedIn when the token ended or the user was disabled meanwhile.
        """
        if self.token is not None:
            tokens = Token.objects.select_related("user", "project")
            return _opened_by(tokens.filter(pk=self.token.pk).first(), at=timezone.now())
        user = User.objects.filter(pk=self.user.pk, is_active=True).first()
        if user is None:
            raise NotSignedIn("The user is disabled.")
        return Access(user=user)


class TokenAuth(HttpBearer):
    """`Authorization: Bearer dsk_u_...` for django-ninja; sets `request.access`.

    Raises NotSignedIn for a token that is missing, unknown, expired, revoked or of a disabled
    user, and Forbidden for one that may call services only.
    """

    def __call__(self, request: HttpRequest) -> Access:
        token = token_of(request)
        if not token:
            raise NotSignedIn("Send a token: 'Authorization: Bearer dsk_u_...'.")
        return self.authenticate(request, token)

    def authenticate(self, request: HttpRequest, token: str) -> Access:
        at = timezone.now()
        found = Token.objects.select_related("user", "project").filter(hash=token_hash(token))
        access = _opened_by(found.first(), at=at)
        _note_use(access.token, at=at)
        request.access = access  # type: ignore[attr-defined]
        return access


class LiveTokenAuth(TokenAuth):
    """The same for routes that stream: it holds no thread or connection once it has answered."""

    def __init__(self) -> None:
        super().__init__()
        self.is_async = True

    async def __call__(self, request: HttpRequest) -> Access:  # type: ignore[override]
        return await in_thread(super().__call__, request)


# The OpenAPI document names a way to sign in by its class: it is one way.
LiveTokenAuth.__name__ = TokenAuth.__name__


def of(request: HttpRequest) -> Access:
    """Return who sends this request, by token (API) or by session (pages).

    Raise NotSignedIn when nobody is signed in.
    """
    access = getattr(request, "access", None)
    if isinstance(access, Access):
        return access
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        raise NotSignedIn("Sign in first.")
    return Access(user=user)


def _opened_by(token: Token | None, *, at: datetime) -> Access:
    if token is None:
        raise NotSignedIn("This token is not known here.")
    if token.revoked_at is not None:
        raise NotSignedIn("This token was revoked.")
    if token.expires_at is not None and token.expires_at <= at:
        raise NotSignedIn(f"This token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC.")
    if not token.user.is_active:
        raise NotSignedIn("The user of this token is disabled.")
    if token.scope != "full" or token.run_names:
        raise Forbidden("This token only calls services; the API needs one with scope 'full'.")
    return Access(user=token.user, token=token)


def _note_use(token: Token | None, *, at: datetime) -> None:
    if token is None or (token.last_used_at and token.last_used_at > at - LAST_USED_STEP):
        return
    unseen = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_STEP)
    Token.objects.filter(unseen, pk=token.pk).update(last_used_at=at)
