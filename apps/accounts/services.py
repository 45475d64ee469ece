"""The verbs of accounts: users, projects and their members. Tokens stand in `tokens.py`.

Whatever changes who may call what ends with `grants_changed()`: gateways must hear of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from apps.accounts.models import Member, Project, Role, User
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, Detail, Invalid, NotFound

ProjectHook = Callable[[Project], None]
_project_hooks: list[ProjectHook] = []

Row = TypeVar("Row", bound=models.Model)


def on_project_created(hook: ProjectHook) -> None:
    """Call `hook(project)` in the transaction that creates each project.

    The composition root subscribes what later stages do with a new project.
    """
    if hook not in _project_hooks:
        _project_hooks.append(hook)


def grants_changed() -> None:
    """Tell, after the commit, that somebody may call more or less now."""
    after_commit(notifications.transitioned, "grants", "changed", [])


def create_user(*, username: str, password: str | None = None, admin: bool = False) -> User:
    """Create a user; without a password only tokens sign in.

    Raise Invalid for a name or password that will not do, Conflict for a name that is taken in
    whatever case.
    """
    user = User(username=username, is_superuser=admin)
    if password is None:
        user.set_unusable_password()
    else:
        set_password(user, password)
    _check_fields(user, "password")
    return _insert(user, taken=f"The user name {user.username} is taken.")


def set_password(user: User, password: str) -> None:
    """Set (not save) a password. Raise Invalid for a weak one."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        details = [Detail("password", message) for message in error.messages]
        raise Invalid(" ".join(error.messages), details=details) from error
    user.set_password(password)


def change_password(*, user: User, old: str, new: str) -> None:
    """Change one's own password. Raise Invalid when `old` is wrong."""
    if not user.check_password(old):
        raise Invalid("The old password is wrong.", details=[Detail("old", "is wrong")])
    set_password(user, new)
    user.save(update_fields=["password"])


def set_active(*, username: str, active: bool, by: User) -> User:
    """Disable a user (sessions and tokens stop working) or enable one again.

    Raise NotFound, and Conflict for oneself, so that somebody is always left to enable others.
    """
    user = find_user(username)
    if user.pk == by.pk and not active:
        raise Conflict("You cannot disable yourself: ask another admin.")
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_active=active)
        grants_changed()
    user.is_active = active
    return user


def find_user(username: str) -> User:
    """Return the user of that name. Raise NotFound."""
    found = User.objects.filter(username=username).first() if username.isprintable() else None
    if found is None:
        raise NotFound(f"There is no user {username[:150]!r}.")
    return found


def remember_project(*, user: User, project: Project) -> None:
    """Note whose pages somebody sees, for their next session; writes where that is another."""
    if user.last_project_id != project.pk:
        user.last_project = project
        User.objects.filter(pk=user.pk).update(last_project=project)


def create_project(*, name: str, creator: User) -> Project:
    """Create a project, its creator being its admin.

    Raise Invalid for a name that will not do, and Conflict for one that is taken or when the
    creator has all the projects that one user may have.
    """
    project = Project(name=name, created_by=creator)
    _check_fields(project)
    with transaction.atomic():
        _require_room(creator)
        _insert(project, taken=f"The project name {name} is taken.")
        Member.objects.create(project=project, user=creator, role=Role.ADMIN)
        for hook in _project_hooks:
            hook(project)
        grants_changed()
    return project


def _require_room(creator: User) -> None:
    # Counted one after another, or a burst would pass.
    User.objects.select_for_update(no_key=True).get(pk=creator.pk)
    most = settings.DSTACK_PROJECTS_PER_USER
    made = Project.objects.filter(created_by=creator, deleted_at=None).count()
    if made >= most and not creator.is_superuser:
        raise Conflict(
            f"You have added {made} projects, and {most} is the most for one user "
            "(DSTACK_PROJECTS_PER_USER of the server): delete one first."
        )


def set_member(*, project: Project, username: str, role: str) -> Member:
    """Add a member, or change a member's role.

    Raise Invalid for an unknown user or role and Conflict when no admin would be left.
    """
    if role not in Role.values:
        raise Invalid(
            "role must be admin or user.", details=[Detail("role", "must be admin or user")]
        )
    try:
        user = find_user(username)
    except NotFound as error:
        raise Invalid(
            error.message, details=[Detail("username", "no user of this server has this name")]
        ) from error
    with transaction.atomic():
        _lock(project)
        member, _ = Member.objects.update_or_create(
            project=project, user=user, defaults={"role": role}
        )
        _require_an_admin(project)
        grants_changed()
    return member


def remove_member(*, project: Project, username: str) -> None:
    """Remove a member; their tokens and keys stop opening the project.

    Raise NotFound, and Conflict when no admin would be left.
    """
    with transaction.atomic():
        _lock(project)
        user = find_user(username)
        deleted, _ = Member.objects.filter(project=project, user=user).delete()
        if not deleted:
            raise NotFound(f"{username} is not a member of project {project.name}.")
        _require_an_admin(project)
        grants_changed()


def _lock(project: Project) -> None:
    # Two admins that leave at the same moment must not both see the other.
    Project.objects.select_for_update().get(pk=project.pk)


def _require_an_admin(project: Project) -> None:
    if not Member.objects.filter(project=project, role=Role.ADMIN).exists():
        raise Conflict(
            f"Project {project.name} would be left without an admin: make another member one first."
        )


def _check_fields(row: models.Model, *excluded: str) -> None:
    try:
        row.clean_fields(exclude=set(excluded))
    except ValidationError as error:
        details = [
            Detail(field, message)
            for field, messages in error.message_dict.items()
            for message in messages
        ]
        words = " ".join(f"{detail.path}: {detail.message}" for detail in details)
        raise Invalid(words, details=details) from error


def _insert(row: Row, *, taken: str) -> Row:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(taken) from error
    return row
