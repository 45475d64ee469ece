"""What people ask for when they connect, change and check backends. It asks no cloud: a check is
begun here and run by a worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries, states
from apps.backends.base import Config
from apps.backends.connecting import checks, config_form, configs, roles, rows
from apps.backends.models import Backend, Check
from apps.backends.registry import PROVIDERS
from apps.core.errors import Conflict, Detail, Invalid

logger = logging.getLogger(__name__)

# Each may hold a thread of a worker for minutes.
MOST_CHECKS_AT_ONCE = 4
NOTHING_ELSE = rows.Also()
HOSTS = (
    "The backend ssh has the project's own hosts, and is there with the first of them: add one on "
    "the page Hosts, or with `dstack host add`."
)


@dataclass(frozen=True)
class NewBackend:
    """A backend as a person wants it: of a project, or without one of the server, shared with the
    projects of these names or with all."""

    kind: str
    name: str = ""
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    project: Project | None = None
    for_all: bool = False
    shares: Sequence[str] = ()


@dataclass(frozen=True)
class Changes:
    """What a person wants otherwise of a backend; None stays as it is. `projects` are the names of
    those that share one of the server, where `for_all` does not say that all do."""

    config: Mapping[str, Any] | None = field(default=None, repr=False)
    disabled: bool | None = None
    for_all: bool = False
    projects: Sequence[str] | None = None


def connect(*, access: Access, new: NewBackend, check: bool = True) -> Check | Backend:
    """Connect a backend: return the check that it has to pass first, or without one the backend.

    Raise Forbidden, Invalid and Conflict.
    """
    rows.require_kind(new.kind)
    roles.require_connector(access, new.project, new.kind)
    if new.kind == queries.LOCAL:
        raise Invalid("The backend local is the server's own machine: it is opened, not connected.")
    if new.kind == queries.SSH:
        raise Invalid(HOSTS)
    shares = [] if new.project else projects_named(access, new.shares)
    name = new.name or new.kind
    rows.require_name(new.project, name, new.kind, _seen_in(new.for_all, shares))
    config = configs.checked(new.kind, new.config)
    roles.require_own_credentials(access, config)
    if not check:
        made = rows.create(
            project=new.project, kind=new.kind, name=name, config=rows.encrypted(config)
        )
        if new.project is None:
            rows.share(made, for_all=new.for_all, shares=shares)
        return made
    wanted = checks.Wanted(
        name,
        new.kind,
        new.project,
        None,
        rows.encrypted(config),
        new.for_all,
        shares,
        typed=config_form.typed(type(config), new.config),
    )
    return _begun(access, wanted)


def change(
    *, access: Access, backend: Backend, changes: Changes, check: bool = True
) -> Check | Backend:
    """Change all of it or, where something of it cannot be, nothing: what needs a check takes the
    rest with it. Return as `reconnect` does. Raise Forbidden, Invalid and Conflict.
    """
    roles.require_manager(access, backend)
    shares = None
    if changes.projects is not None:
        shares = _shareable(access, backend, for_all=changes.for_all, names=changes.projects)
    if changes.disabled is not None:
        rows.require_staying(backend)
    also = rows.Also(changes.disabled, changes.for_all, shares)
    logger.info("%s changes backend %s", access.actor, backend)
    if changes.config is not None:
        return reconnect(
            access=access, backend=backend, config=changes.config, check=check, also=also
        )
    with transaction.atomic():
        rows.change(backend, also)
    return backend


def reconnect(
    *,
    access: Access,
    backend: Backend,
    config: Mapping[str, Any],
    check: bool = True,
    also: rows.Also = NOTHING_ELSE,
) -> Check | Backend:
    """Change how a backend is connected, and what goes with it: what is not given stays as it is.

    Return the check that it has to pass first, or without one the backend. Raise Forbidden and
    Invalid.
    """
    roles.require_manager(access, backend)
    _require_cloud(backend)
    kept = rows.stored(backend)
    after = configs.checked(backend.kind, {**kept, **config})
    before = configs.checked(backend.kind, kept) if kept else after
    roles.require_own_credentials(access, before, after)
    if not check:
        _require_machines_known(backend, before, after)
        with transaction.atomic():
            rows.reconnect(backend, config=rows.encrypted(after))
            rows.change(backend, also)
        return backend
    typed = config_form.typed(type(after), {**rows.shown(backend), **config}, may_keep=True)
    return _begun(access, replace(_of(backend, after), typed=typed, also=also))


def check(*, access: Access, backend: Backend) -> Check:
    """Begin a check of a backend as it is, or return the one that is under way. Raise Forbidden."""
    roles.require_manager(access, backend)
    under_way = backend.checks.filter(state=states.CHECKING, config="").first()
    return under_way or _begun(access, _of(backend))


def share(*, access: Access, backend: Backend, for_all: bool, names: Sequence[str]) -> None:
    """Share a backend of the server with the projects of these names, or with all."""
    roles.require_manager(access, backend)
    shares = _shareable(access, backend, for_all=for_all, names=names)
    rows.share(backend, for_all=for_all, shares=shares)


def _shareable(
    access: Access, backend: Backend, *, for_all: bool, names: Sequence[str]
) -> list[int]:
    """Return the ids of these projects. Raise Invalid and Conflict where they cannot have it."""
    if backend.project is not None:
        raise Invalid(f"Backend {backend.name} is of one project: only the server's are shared.")
    shares = projects_named(access, names)
    own = Backend.objects.filter(project__in=_seen_in(for_all, shares), closed_at=None)
    taken = own.filter(name=backend.name).select_related("project").first()
    if taken is not None:
        raise Conflict(f"Project {taken.project} has a backend {backend.name} of its own already.")
    return shares


def policy_of(kind: str) -> str:
    """Return what to allow at the cloud so that every check passes."""
    return PROVIDERS[kind].minimal_policy if kind in PROVIDERS else ""


def projects_named(access: Access, names: Sequence[str]) -> list[int]:
    """Return the ids of projects by their names. Raise Invalid for one that there is not."""
    usable = [name for name in names if name.isprintable()]
    found = dict(access.projects().filter(name__in=usable).values_list("name", "pk"))
    for name in names:
        if name not in found:
            said = f"there is no project {name[:50]!r}"
            raise Invalid(f"projects: {said}.", details=[Detail("projects", said)])
    return list(found.values())


def _seen_in(for_all: bool, shares: Sequence[int]) -> list[int]:
    """Return the ids of the projects that will see it."""
    everywhere = Project.objects.filter(deleted_at=None).values_list("pk", flat=True)
    return list(everywhere) if for_all else list(shares)


def _begun(access: Access, wanted: checks.Wanted) -> Check:
    under_way = Check.objects.filter(project=wanted.project, state=states.CHECKING).count()
    if under_way >= MOST_CHECKS_AT_ONCE:
        raise Conflict(f"{under_way} checks are under way already: wait for one of them.")
    return checks.begin(wanted, asked_by=access.actor)


def _require_machines_known(backend: Backend, before: Config, after: Config) -> None:
    """Raise Conflict where nobody would ask whether the account of other credentials is the one
    whose machines live: those of another one would be taken for gone, and never ended."""
    changed = any(getattr(before, name) != getattr(after, name) for name in after.secret_fields())
    if changed and (machines := queries.living_refs(backend)):
        raise Conflict(
            f"{len(machines)} of the machines of {backend.name} live: with other credentials it is "
            "connected only after a check, which looks for them. Ask for the check, or terminate "
            "the machines first."
        )


def _of(backend: Backend, config: Config | None = None) -> checks.Wanted:
    kept = rows.encrypted(config) if config else ""
    return checks.Wanted(backend.name, backend.kind, backend.project, backend, kept)


def _require_cloud(backend: Backend) -> None:
    if backend.kind in queries.KEPT:
        raise Invalid(f"The backend {backend.kind} takes no configuration.")
