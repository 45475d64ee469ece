"""Users, projects, members and tokens over HTTP."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from apps.accounts import access, projects, queries, schemas, services, tokens
from apps.accounts.models import Project, User
from apps.core.errors import Forbidden, Invalid
from apps.core.http.paging import DEFAULT_LIMIT, page

router = Router()

FIRST_TOKEN = "first token"


@router.get("/users/me", response=schemas.MeOut, summary="Who am I")
def me(request: HttpRequest) -> dict[str, Any]:
    """The user of the token, and what it opens."""
    who = access.of(request)
    projects = list(who.projects())
    roles = queries.roles(who, projects)
    return {
        **schemas.user_json(who.user),
        "projects": [schemas.project_json(each, roles.get(each.pk)) for each in projects],
        "token": schemas.token_json(who.token) if who.token else None,
    }


@router.get("/users", response=schemas.UserList, summary="List users")
def list_users(
    request: HttpRequest, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> dict[str, Any]:
    """All users of the server, by name; for global admins."""
    access.of(request).require_global_admin()
    found = page(User.objects.all(), by="username", limit=limit, cursor=cursor)
    return found.as_json(schemas.user_json)


@router.post("/users", response={201: schemas.NewUserOut}, summary="Add a user")
def add_user(request: HttpRequest, body: schemas.NewUser) -> Status[dict[str, Any]]:
    """Answers with the user's first token, shown only here; for global admins.

    Without a password the user signs in by token only.
    """
    access.of(request).require_global_admin()
    with transaction.atomic():
        user = services.create_user(**body.dict())
        wanted = tokens.TokenRequest(name=FIRST_TOKEN)
        issued = tokens.create_token(user=user, request=wanted)
    return Status(201, {**schemas.user_json(user), "token": issued.text})


@router.patch("/users/{username}", response=schemas.UserOut, summary="Disable or enable a user")
def change_user(request: HttpRequest, username: str, body: schemas.UserChange) -> dict[str, Any]:
    """A disabled user's sessions and tokens stop working at once; for global admins."""
    who = access.of(request)
    who.require_global_admin()
    user = services.set_active(username=username, active=body.active, by=who.user)
    return schemas.user_json(user)


@router.get("/projects", response=schemas.ProjectList, summary="List projects")
def list_projects(
    request: HttpRequest, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> dict[str, Any]:
    """The projects that the token opens, by name."""
    who = access.of(request)
    found = page(who.projects(), by="name", limit=limit, cursor=cursor)
    roles = queries.roles(who, found.rows)
    return found.as_json(lambda each: schemas.project_json(each, roles.get(each.pk)))


@router.post("/projects", response={201: schemas.ProjectOut}, summary="Add a project")
def add_project(request: HttpRequest, body: schemas.NewProject) -> Status[dict[str, Any]]:
    """Whoever adds a project is its admin."""
    who = access.of(request)
    if who.token is not None and who.token.project_id is not None:
        raise Forbidden("This token opens one project only; it cannot add another.")
    project = services.create_project(name=body.name, creator=who.user)
    return Status(201, schemas.project_json(project, "admin"))


@router.patch("/projects/{project}", response=schemas.ProjectOut, summary="Change a project")
def change_project(
    request: HttpRequest, project: str, body: schemas.ProjectChange
) -> dict[str, Any]:
    """Bounds its services and machines: `max_instances` and `max_usd_per_hour` are for its admins,
    `replicas_limit` for global ones. What is left out stays."""
    who = access.of(request)
    changed = _change(who, who.project(project), body.dict(exclude_unset=True))
    return schemas.project_json(changed, queries.roles(who, [changed]).get(changed.pk))


def _change(who: access.Access, project: Project, asked: dict[str, Any]) -> Project:
    if not asked:
        raise Invalid("Name at least one limit to change.")
    with transaction.atomic():
        if "replicas_limit" in asked:
            limit = asked.pop("replicas_limit")
            projects.set_replicas_limit(access=who, project=project, limit=limit)
        if asked:
            now = {name: getattr(project, name) for name in schemas.MACHINE_LIMITS}
            projects.set_machine_limits(access=who, project=project, **{**now, **asked})
    return project


@router.delete("/projects/{project}", response={204: None}, summary="Delete a project")
def delete_project(request: HttpRequest, project: str) -> Status[None]:
    """Its runs must be over; its tokens and keys end, its name is free again. For its admins."""
    who = access.of(request)
    projects.delete(access=who, project=who.project(project), at=timezone.now())
    return Status(204, None)


@router.get("/projects/{project}/members", response=schemas.MemberList, summary="List members")
def list_members(request: HttpRequest, project: str) -> dict[str, Any]:
    """The project's members, by user name."""
    found = queries.members(access.of(request).project(project))
    return {"items": [schemas.member_json(member) for member in found], "next_cursor": None}


@router.post(
    "/projects/{project}/members", response={201: schemas.MemberOut}, summary="Add a member"
)
def set_member(
    request: HttpRequest, project: str, body: schemas.NewMember
) -> Status[dict[str, Any]]:
    """Adds a member or changes a member's role (admin or user); for the project's admins."""
    member = services.set_member(project=_managed(request, project), **body.dict())
    return Status(201, schemas.member_json(member))


@router.delete(
    "/projects/{project}/members/{username}", response={204: None}, summary="Remove a member"
)
def remove_member(request: HttpRequest, project: str, username: str) -> Status[None]:
    """For the project's admins, and for members that leave. The last admin stays."""
    who = access.of(request)
    found = who.project(project)
    if username != who.user.username:
        who.require_admin(found)
    services.remove_member(project=found, username=username)
    return Status(204, None)


@router.get("/tokens", response=schemas.TokenList, summary="List tokens")
def list_tokens(
    request: HttpRequest, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> dict[str, Any]:
    """One's own tokens that are not revoked, newest first; their text is never shown again."""
    found = page(tokens.live_tokens(access.of(request)), by="-id", limit=limit, cursor=cursor)
    return found.as_json(schemas.token_json)


@router.post("/tokens", response={201: schemas.NewTokenOut}, summary="Create a token")
def add_token(request: HttpRequest, body: schemas.NewToken) -> Status[dict[str, Any]]:
    """The text (`token`) is shown only here. With `runs` it is a service key of `project`."""
    who = access.of(request)
    project: Project | None = who.project(body.project) if body.project is not None else None
    wanted = tokens.TokenRequest(
        name=body.name,
        scope=body.scope,
        project=project,
        run_names=body.runs,
        expires_at=tokens.expiry(body.expires, at=timezone.now()),
        rps=body.rps,
        burst=body.burst,
    )
    issued = tokens.create_own_token(access=who, request=wanted)
    return Status(201, {**schemas.token_json(issued.row), "token": issued.text})


@router.delete("/tokens/{token_id}", response={204: None}, summary="Revoke a token")
def revoke_token(request: HttpRequest, token_id: int) -> Status[None]:
    """It stops working at once, on gateways within a second."""
    tokens.revoke(access=access.of(request), pk=token_id, at=timezone.now())
    return Status(204, None)


def _managed(request: HttpRequest, name: str) -> Project:
    who = access.of(request)
    project = who.project(name)
    who.require_admin(project)
    return project
