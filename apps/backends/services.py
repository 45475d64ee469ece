"""The verbs of backends: open this machine, disable, delete; and the providers behind them.

What people ask for when they connect one stands in `connecting.requests`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries, way_home
from apps.backends.base import ErrorKind, Feature, Provider, ProviderError, Scope
from apps.backends.connecting import configs, roles, rows
from apps.backends.dns.port import ManagesDns
from apps.backends.identity import server_id as server_id
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.core.errors import Conflict, Forbidden, NotFound

logger = logging.getLogger(__name__)

ClosingHook = Callable[[Backend], None]
_closing_hooks: list[ClosingHook] = []
_ending_hooks: list[ClosingHook] = []
# What is kept instead of a configuration that was forgotten.
FORGOTTEN = ""


def on_closing(hook: ClosingHook) -> None:
    """Call `hook(backend)` in the transaction that closes a backend; it raises to refuse.

    The composition root subscribes the later stages, which know what still runs there.
    """
    if hook not in _closing_hooks:
        _closing_hooks.append(hook)


def on_ending(hook: ClosingHook) -> None:
    """Call `hook(backend)` in the transaction in which all machines of a backend are to end."""
    if hook not in _ending_hooks:
        _ending_hooks.append(hook)


def connect(
    *, project: Project | None, kind: str, config: dict[str, Any], name: str = ""
) -> Backend:
    """Connect a backend as it is given, or change how it is connected; what is closed stays closed.

    It is called by its kind where it has no name of its own, and is the server's own without a
    project. Raise Invalid when the kind is unknown or the configuration is wrong.
    """
    rows.require_kind(kind)
    checked = configs.checked(kind, config)
    return rows.write(project=project, kind=kind, name=name or kind, config=checked)


def connect_local(*, project: Project) -> Backend:
    """Connect this machine to a project with the addresses of this start."""
    url = settings.DSTACK_LOCAL_URL
    config = {"boot_path": str(queries.boot_file()), "url": url}
    config["authority"] = way_home.authority(url)
    return connect(project=project, kind=queries.LOCAL, config=config)


def refresh_local() -> None:
    """Give every project that this machine was opened for the addresses of this start."""
    Backend.objects.filter(name="").update(name=F("kind"))
    for backend in Backend.objects.filter(kind=queries.LOCAL).select_related("project"):
        if backend.project is not None:
            connect_local(project=backend.project)


def open_local(*, access: Access, project: Project) -> Backend:
    """Open this machine for a project, so that its services can run here; again is no error.

    Raise Forbidden for who is no admin of the server: what runs here shares the machine with the
    server itself. Raise Conflict where no agent is kept on this machine.
    """
    if not access.is_global_admin:
        raise Forbidden(roles.THIS_MACHINE)
    if not queries.keeps_an_agent():
        raise Conflict(
            f"This server has no machine of its own to run services on: no agent is kept in "
            f"{queries.boot_file().parent}."
        )
    backend = connect_local(project=project)
    backend.closed_at = None
    backend.save(update_fields=["closed_at"])
    rows.tell_usable()
    return backend


def set_disabled(*, access: Access, backend: Backend, disabled: bool) -> None:
    """Disable a backend, so that nothing new is placed there while what runs goes on, or enable it.

    Raise Forbidden, and Conflict for one that is being deleted.
    """
    roles.require_manager(access, backend)
    rows.set_disabled(backend, disabled=disabled)
    logger.info(
        "backend %s was %s by %s", backend, "disabled" if disabled else "enabled", access.actor
    )


def delete(*, access: Access, backend: Backend, ends_machines: bool = False) -> bool:
    """Delete a backend: no service is placed there any more, and how it was connected is forgotten
    once its machines are gone. Tell whether it is gone already.

    Raise Forbidden, NotFound where somebody was faster, and Conflict while services or machines
    need it; with `ends_machines` they are ended first, which takes its time.
    """
    roles.require_manager(access, backend)
    at = timezone.now()
    with transaction.atomic():
        row = _locked(backend)
        if ends_machines and not is_standing(row.kind):
            row.disabled_at, row.ending_at = row.disabled_at or at, row.ending_at or at
            row.save(update_fields=["disabled_at", "ending_at"])
            for hook in _ending_hooks:
                hook(row)
            return _close_if_empty(row)
        for hook in _closing_hooks:
            hook(row)
        _close(row)
    logger.info("backend %s was deleted by %s", backend, access.actor)
    return True


def close_emptied() -> None:
    """Close the backends that were to be deleted and whose last machine is gone.

    A machine that a worker asked for at the same moment is ended too.
    """
    for backend in Backend.objects.filter(closed_at=None).exclude(ending_at=None):
        with transaction.atomic():
            row = Backend.objects.select_for_update().filter(pk=backend.pk, closed_at=None).first()
            if row is not None and not _close_if_empty(row):
                for hook in _ending_hooks:
                    hook(row)


def _close_if_empty(row: Backend) -> bool:
    if queries.live_instances(row).exists() or queries.has_gateways(row):
        return False
    _close(row)
    return True


def _close(row: Backend) -> None:
    row.closed_at = timezone.now()
    row.save(update_fields=["closed_at"])


def _locked(backend: Backend) -> Backend:
    row = Backend.objects.select_for_update().filter(pk=backend.pk, closed_at=None).first()
    if row is None:
        raise NotFound(f"There is no backend {backend.name} any more.")
    return row


def close_all(*, project: Project) -> None:
    """Close every backend of a project that is deleted."""
    Backend.objects.filter(project=project, closed_at=None).update(closed_at=timezone.now())


def forget(backend: Backend) -> None:
    """Forget how a backend was connected that is closed and of which nothing is left.

    That of the server's own machine stays readable, since other projects may share the machine.
    """
    closed = Backend.objects.filter(pk=backend.pk).exclude(closed_at=None)
    closed.exclude(kind=queries.LOCAL).update(config=FORGOTTEN)


def provider_of(backend: Backend) -> Provider:
    """Return the provider, ready to be called. It makes no call itself.

    Raise ProviderError where its configuration was emptied, or is another server's or version's.
    """
    try:
        provider = PROVIDERS[backend.kind]
        return provider(provider.Config.model_validate(crypto.decrypt(backend.config)))
    except (KeyError, ValueError, crypto.InvalidToken) as error:
        logger.warning("%s cannot be used: %s", backend, type(error).__name__)
        raise ProviderError(
            f"{backend} cannot be used as it is configured: connect it again.",
            kind=ErrorKind.SETUP,
            scope=Scope.BACKEND,
        ) from None


def is_standing(kind: str) -> bool:
    """Tell whether machines of this kind were there before us and stay."""
    provider = PROVIDERS.get(kind)
    return provider is not None and Feature.STANDING in provider.features


def manages_dns(kind: str) -> bool:
    """Tell whether a kind of backend has records of the DNS."""
    provider = PROVIDERS.get(kind)
    return provider is not None and issubclass(provider, ManagesDns)


def id_of(kind: str, ref: str) -> str:
    """Return what the cloud's own pages call a machine."""
    return PROVIDERS[kind].id_of(ref) if kind in PROVIDERS else ref


def page_of(backend: Backend, ref: str) -> str:
    """Return the address of a machine's page at its cloud, "" where none is known."""
    try:
        return provider_of(backend).page_of(ref) if ref else ""
    except ProviderError:
        return ""


def family_of(kind: str, instance: str) -> str:
    """Return the family of an instance: those that share a quota."""
    return PROVIDERS[kind].family_of(instance) if kind in PROVIDERS else ""
