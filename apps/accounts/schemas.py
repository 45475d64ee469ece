"""What the accounts API takes and gives."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ninja import Schema
from pydantic import Field

from apps.accounts import projects
from apps.accounts.models import Member, Project, Role, Token, User

MACHINE_LIMITS = ("max_instances", "max_usd_per_hour")


class NewUser(Schema):
    username: str = Field(max_length=1000)
    password: str | None = Field(None, max_length=1000)
    admin: bool = False


class UserChange(Schema):
    active: bool


class NewProject(Schema):
    name: str = Field(max_length=1000)


class ProjectChange(Schema):
    """What is left out stays. `replicas_limit` null: the server's own; the others null: none."""

    replicas_limit: int | None = None
    max_instances: int | None = None
    max_usd_per_hour: Decimal | None = None


class NewMember(Schema):
    username: str = Field(max_length=1000)
    role: str = Field(Role.USER.value, max_length=100)


class NewToken(Schema):
    """`expires` is like "30d" or a time (RFC 3339); null: never. `runs` make a service key.

    `rps` bounds its calls of services, all together, each second; `burst` (else a second's worth)
    more may come at once.
    """

    name: str = Field(max_length=1000)
    scope: str = Field("full", max_length=100)
    project: str | None = Field(None, max_length=1000)
    runs: list[str] = []
    expires: str | None = Field(None, max_length=1000)
    rps: float | None = None
    burst: int | None = None


class UserOut(Schema):
    username: str
    admin: bool
    active: bool
    created_at: datetime


class NewUserOut(UserOut):
    """`token` is the user's first token, shown only here."""

    token: str


class UserList(Schema):
    items: list[UserOut]
    next_cursor: str | None


class ProjectOut(Schema):
    """`role` is one's own: admin or user. `replicas_limit` is the most that a service may have,
    the others the most that the project's machines may be at a time (null: no limit)."""

    name: str
    role: str | None
    replicas_limit: int
    max_instances: int | None
    max_usd_per_hour: float | None
    created_at: datetime


class ProjectList(Schema):
    items: list[ProjectOut]
    next_cursor: str | None


class MemberOut(Schema):
    username: str
    role: str
    created_at: datetime


class MemberList(Schema):
    items: list[MemberOut]
    next_cursor: str | None


class TokenOut(Schema):
    """`prefix` is all of its text that is ever shown again; `kind` is user or service."""

    id: int
    name: str
    prefix: str
    kind: str
    scope: str
    project: str | None
    runs: list[str]
    rps: float | None
    burst: int
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewTokenOut(TokenOut):
    """`token` is its text, shown only here."""

    token: str


class TokenList(Schema):
    items: list[TokenOut]
    next_cursor: str | None


class MeOut(UserOut):
    projects: list[ProjectOut]
    token: TokenOut | None


def user_json(user: User) -> dict[str, Any]:
    return {
        "username": user.username,
        "admin": user.is_superuser,
        "active": user.is_active,
        "created_at": user.date_joined,
    }


def project_json(project: Project, role: str | None) -> dict[str, Any]:
    most = project.max_usd_per_hour
    return {
        "name": project.name,
        "role": role,
        "replicas_limit": projects.replicas_limit(project),
        "max_instances": project.max_instances,
        "max_usd_per_hour": None if most is None else float(most),
        "created_at": project.created_at,
    }


def member_json(member: Member) -> dict[str, Any]:
    return {"username": member.user.username, "role": member.role, "created_at": member.created_at}


def token_json(token: Token) -> dict[str, Any]:
    return {
        "id": token.pk,
        "name": token.name,
        "prefix": token.prefix,
        "kind": "service" if token.run_names else "user",
        "scope": token.scope,
        "project": token.project.name if token.project else None,
        "runs": token.run_names,
        "rps": token.rps,
        "burst": token.burst,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }
