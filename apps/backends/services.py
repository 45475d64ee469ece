"""Connecting backends, opening and closing this machine for a project, and calling providers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from pydantic import ValidationError

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries
from apps.backends.base import Feature, Provider
from apps.backends.models import Backend, ServerIdentity
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.core.errors import Conflict, Detail, Forbidden, Invalid

ClosingHook = Callable[[Backend], None]
_closing_hooks: list[ClosingHook] = []


def on_closing(hook: ClosingHook) -> None:
    """Call `hook(backend)` in the transaction that closes a backend; it raises to refuse.

    The composition root subscribes the later stages, which know what still runs there.
    """
    if hook not in _closing_hooks:
        _closing_hooks.append(hook)


def connect(*, project: Project, kind: str, config: dict[str, Any], name: str = "") -> Backend:
    """Connect a backend to a project, or change how it is connected; what is closed stays closed.

    It is called by its kind where it has no name of its own.

    Raise Invalid when the kind is unknown or the configuration is wrong. The backend is not tried:
    that is `provider_of(backend).check()`, an outside call.
    """
    require_kind(kind)
    try:
        checked = PROVIDERS[kind].Config.model_validate(config)
    except ValidationError as error:
        details = [Detail(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise Invalid(f"The configuration of {kind} is wrong.", details=details) from error
    backend, _ = Backend.objects.update_or_create(
        project=project,
        kind=kind,
        name=name or kind,
        defaults={"config": crypto.encrypt(checked.model_dump(mode="json"))},
    )
    return backend


def require_kind(kind: str) -> None:
    """Raise Invalid for a kind of backend that there is not."""
    if kind not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        detail = Detail("kind", f"must be one of: {known}")
        raise Invalid(f"There is no backend `{kind[:32]}`; there is: {known}.", details=[detail])


def connect_local(*, project: Project) -> Backend:
    """Connect this machine to a project with the addresses of this start."""
    config = {"boot_path": str(queries.boot_file()), "url": settings.DSTACK_AGENT_URL}
    return connect(project=project, kind=queries.LOCAL, config=config)


def refresh_local() -> None:
    """Give every project that this machine was opened for the addresses of this start."""
    Backend.objects.filter(name="").update(name=F("kind"))
    for backend in Backend.objects.filter(kind=queries.LOCAL).select_related("project"):
        connect_local(project=backend.project)


def open_local(*, access: Access, project: Project) -> Backend:
    """Open this machine for a project, so that its services can run here; again is no error.

    Raise Forbidden for who is no admin of the server: what runs here shares the machine with the
    server itself. Raise Conflict where no agent is kept on this machine.
    """
    _require_server_admin(access)
    if not queries.keeps_an_agent():
        raise Conflict(
            f"This server has no machine of its own to run services on: no agent is kept in "
            f"{queries.boot_file().parent}."
        )
    backend = connect_local(project=project)
    backend.closed_at = None
    backend.save(update_fields=["closed_at"])
    return backend


def close(*, access: Access, project: Project, name: str) -> None:
    """Close a backend for a project: no service of it is placed there any more.

    Raise Forbidden, NotFound, and Conflict while services of the project need it.
    """
    found = queries.named(project, name)
    _require_server_admin(access)
    with transaction.atomic():
        backend = Backend.objects.select_for_update().get(pk=found.pk)
        for hook in _closing_hooks:
            hook(backend)
        backend.closed_at = timezone.now()
        backend.save(update_fields=["closed_at"])


def close_all(*, project: Project) -> None:
    """Close every backend of a project that is deleted, and forget how it was connected.

    That of the server's own machine stays readable, since other projects may share the machine.
    """
    backends = Backend.objects.filter(project=project)
    backends.filter(closed_at=None).update(closed_at=timezone.now())
    backends.exclude(kind=queries.LOCAL).update(config=crypto.encrypt({}))


def _require_server_admin(access: Access) -> None:
    if not access.is_global_admin:
        raise Forbidden(
            "Only an admin of this server may open or close its own machine for a project: "
            "ask one of them."
        )


def provider_of(backend: Backend) -> Provider:
    """Return the provider, ready to be called. It makes no call itself."""
    provider = PROVIDERS[backend.kind]
    return provider(provider.Config.model_validate(crypto.decrypt(backend.config)))


def is_standing(kind: str) -> bool:
    """Tell whether machines of this kind were there before us and stay."""
    provider = PROVIDERS.get(kind)
    return provider is not None and Feature.STANDING in provider.features


def family_of(kind: str, instance: str) -> str:
    """Return the family of an instance: those that share a quota."""
    return PROVIDERS[kind].family_of(instance) if kind in PROVIDERS else ""


def server_id() -> str:
    """Return what this server is called in clouds, the same for ever."""
    identity, _ = ServerIdentity.objects.get_or_create(is_only=True)
    return str(identity.server_id)
