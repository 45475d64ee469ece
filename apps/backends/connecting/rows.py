"""Writing backends: their names, how they are connected, with whom the server shares its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import queries
from apps.backends.base import Config
from apps.backends.connecting import configs
from apps.backends.faults import unheard
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core import crypto, notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, Detail, Invalid, NotFound

MendedHook = Callable[[Backend], None]
_mended_hooks: list[MendedHook] = []
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# Pages that stand beside those of backends.
RESERVED = ("checks", "connect")
NAME_RULE = (
    "use 1 to 32 lower-case letters, digits and hyphens, with a letter or digit at both ends"
)


def require_kind(kind: str) -> None:
    """Raise Invalid for a kind of backend that there is not."""
    if kind not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        detail = Detail("kind", f"must be one of: {known}")
        said = "".join(each if each.isprintable() else "?" for each in kind[:32])
        raise Invalid(f"There is no backend `{said}`; there is: {known}.", details=[detail])


def require_name(project: Project | None, name: str, kind: str, shares: Sequence[int] = ()) -> None:
    """Raise Invalid for what is no name or means another kind, Conflict for one that is taken
    where the backend would be seen."""
    problem = "" if NAME.fullmatch(name) else NAME_RULE
    if name in RESERVED:
        problem = f"{name} is an address of the dashboard: choose another name"
    if name != kind and name in PROVIDERS:
        problem = f"{name} is a kind of backends, and this one is of {kind}"
    if problem:
        raise Invalid(f"name: {problem}.", details=[Detail("name", problem)])
    if queries.seen_beside(project, shares).filter(name=name).exists():
        where = f"Project {project.name}" if project else "The server, or a project that shares it,"
        raise Conflict(f"{where} has a backend {name} already: give this one another name.")


def write(*, project: Project | None, kind: str, name: str, config: Config) -> Backend:
    """Connect a backend under a name, or change how it is connected.

    It is not tried: that is `provider_of(backend).check()`, an outside call. That of this machine
    stays closed where it was.
    """
    known: dict[str, Any] = {} if kind == queries.LOCAL else {"closed_at": None}
    backend, _ = Backend.objects.update_or_create(
        project=project, kind=kind, name=name, **known, defaults={"config": encrypted(config)}
    )
    tell_usable()
    return backend


def create(*, project: Project | None, kind: str, name: str, config: str) -> Backend:
    """Connect a new backend; `config` is encrypted. Raise Conflict where somebody was faster."""
    row = Backend(project=project, kind=kind, name=name, config=config)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"The name {name} was taken meanwhile: choose another one.") from error
    tell_usable()
    return row


def reconnect(backend: Backend, *, config: str) -> None:
    """Change how a backend is connected; `config` is encrypted. Raise NotFound where it is gone."""
    if not Backend.objects.filter(pk=backend.pk, closed_at=None).update(config=config):
        raise NotFound(f"Backend {backend.name} was deleted meanwhile.")
    backend.config = config
    mended(backend)


def on_mended(hook: MendedHook) -> None:
    """Call `hook(backend)` where it was found to work, or is connected otherwise. The composition
    root subscribes the later stages, which know what was refused there."""
    if hook not in _mended_hooks:
        _mended_hooks.append(hook)


def mended(backend: Backend) -> None:
    """Say that what was refused there before may be had now."""
    unheard.forget(backend.pk)
    for hook in _mended_hooks:
        hook(backend)
    tell_usable()


def tell_usable() -> None:
    """Have services that wait for a machine look for one again: there may be a backend now."""
    after_commit(notifications.transitioned, "backend", "usable", [])


def share(backend: Backend, *, for_all: bool, shares: Sequence[int]) -> None:
    """Share a backend of the server with these projects, or with all."""
    backend.for_all = for_all
    backend.save(update_fields=["for_all"])
    backend.shared_with.set(Project.objects.filter(pk__in=shares, deleted_at=None))
    tell_usable()


@dataclass(frozen=True)
class Also:
    """What changes of a backend beside how it is connected; None stays as it is."""

    disabled: bool | None = None
    for_all: bool = False
    shares: Sequence[int] | None = None

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Also:
        return cls(told.get("disabled"), bool(told.get("for_all")), told.get("shares"))

    def as_json(self) -> dict[str, Any]:
        return {"disabled": self.disabled, "for_all": self.for_all, "shares": self.shares}


def change(backend: Backend, also: Also) -> None:
    """Do it. Raise Conflict for one that is being deleted."""
    if also.disabled is not None:
        set_disabled(backend, disabled=also.disabled)
    if also.shares is not None:
        share(backend, for_all=also.for_all, shares=also.shares)


def set_disabled(backend: Backend, *, disabled: bool) -> None:
    """Disable or enable it. Raise Conflict for one that is being deleted."""
    at = (backend.disabled_at or timezone.now()) if disabled else None
    # A check takes its time: somebody may have begun to delete it since it was read.
    if not Backend.objects.filter(pk=backend.pk, ending_at=None).update(disabled_at=at):
        raise Conflict(f"Backend {backend.name} is being deleted.")
    backend.disabled_at = at
    if not disabled:
        tell_usable()


def require_staying(backend: Backend) -> None:
    """Raise Conflict for one that is being deleted."""
    if backend.ending_at is not None:
        raise Conflict(f"Backend {backend.name} is being deleted.")


def stored(backend: Backend) -> dict[str, Any]:
    """Return how a backend is connected, with its secrets; nothing where no key fits."""
    try:
        found: dict[str, Any] = crypto.decrypt(backend.config)
    except crypto.InvalidToken:
        return {}
    return found


def encrypted(config: Config) -> str:
    return crypto.encrypt(config.model_dump(mode="json"))


def shown(backend: Backend) -> dict[str, Any]:
    """Return how a backend is connected, without secrets or what is the server's own to know."""
    if backend.kind in queries.KEPT:
        return {}
    return configs.shown(backend.kind, stored(backend))
