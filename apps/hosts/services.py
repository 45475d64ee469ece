"""The verbs of hosts: add, remove. No host is called here: that is done by a worker."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core import crypto
from apps.core.errors import Conflict, Detail, Forbidden, Invalid
from apps.core.transition import Stale, created, transition
from apps.gateways.machines import closing as gateways
from apps.hosts import address, keys, states
from apps.hosts.models import Host
from apps.hosts.ssh import client, destinations, words
from apps.hosts.work import machines

MOST_HOSTS = 200
MOST_USD_PER_HOUR = 10_000
NAME_RULE = (
    "use 1 to 50 lower-case letters, digits and hyphens, with a letter or digit at both ends"
)
AT_WORK = (states.CHECKING, states.INSTALLING, states.STARTING)
ADDED = "a person added it"
NO_OFFER = {"offered_known_hosts": "", "offered_fingerprint": ""}


@dataclass(frozen=True)
class NewHost:
    """A host as a person writes it: `where` is USER@ADDRESS[:PORT], so is `jump`; without a `key`
    the server's own is used."""

    where: str
    key: str = field(default="", repr=False)
    jump: str = ""
    price_usd_per_hour: float = 0.0
    name: str = ""


def add(*, access: Access, project: Project, new: NewHost, at: datetime) -> Host:
    """Begin to check a host and to install its agent. One that is added again is checked anew.

    Raise Forbidden, Invalid and Conflict.
    """
    require_manager(access, project)
    place, fields = _checked(new)
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        there = Host.objects.filter(project=project, address=place.address, port=place.port)
        known = there.exclude(state=states.REMOVED).select_for_update(of=("self",)).first()
        if known is not None:
            return _again(known, new, {**fields, "user": place.user}, access=access, at=at)
        name = new.name or _free_name(project, address.name_for(place.address))
        _require_room(project, name)
        host = Host(
            project=project,
            name=name,
            user=place.user,
            address=place.address,
            port=place.port,
            state=states.HOST.initial,
            state_at=at,
            next_check_at=at,
            **fields,
        )
        try:
            with transaction.atomic():
                host.save(force_insert=True)
        except IntegrityError:
            raise Conflict(f"Project {project.name} has a host {name} already.") from None
        created(host, at=at, reason=ADDED, actor=access.actor)
    return host


def _again(
    host: Host, new: NewHost, fields: dict[str, Any], *, access: Access, at: datetime
) -> Host:
    if new.name not in ("", host.name):
        raise Conflict(
            f"{host.at} is the host {host.name} already: remove it to name it otherwise."
        )
    if host.state in AT_WORK:
        return host
    if host.state == states.REMOVING:
        raise Conflict(f"Host {host.name} is being removed: add it again after that.")
    if host.state == states.REMOVED:
        raise Conflict(f"Host {host.name} was removed: add it again.")
    if host.jump != fields["jump"]:
        # Another jump host has another key; that of the host itself stays pinned.
        kept = [line for line in host.known_hosts.splitlines() if line.startswith("host ")]
        fields["known_hosts"] = "".join(f"{line}\n" for line in kept)
    more = {**NO_OFFER, "progress": [], "error": "", "left_over": "", "next_check_at": at}
    try:
        transition(host, states.CHECKING, at=at, reason=ADDED, actor=access.actor, **fields, **more)
    except Stale:
        raise Conflict(f"{host.name} changed meanwhile: look again.") from None
    return host


def check_again(*, access: Access, host: Host, at: datetime) -> Host:
    """Check a host again as it is, and bring its agent up to date."""
    require_manager(access, host.project)
    return _again(host, NewHost(where=host.at), _kept(host), access=access, at=at)


def _kept(host: Host) -> dict[str, Any]:
    return {"jump": host.jump, "key": host.key, "price_usd_per_hour": host.price_usd_per_hour}


def accept_key(*, access: Access, host: Host, fingerprint: str, at: datetime) -> Host:
    """Believe the key that a host, or its jump host, showed instead of the one that was known, and
    check the host again.

    Raise Forbidden, and Conflict where another key than this one waits, or none.
    """
    require_manager(access, host.project)
    if not host.offered_fingerprint:
        raise Conflict(f"Host {host.name} shows the key that is known: there is none to accept.")
    if fingerprint != host.offered_fingerprint:
        raise Conflict(
            f"Host {host.name} shows the key {host.offered_fingerprint}, not "
            f"{address.shown(fingerprint)}: compare it with the machine's, and accept that one."
        )
    pins = {
        "known_hosts": host.offered_known_hosts,
        "fingerprint": words.fingerprint(host.offered_known_hosts, client.HOST),
    }
    return _again(host, NewHost(where=host.at), {**_kept(host), **pins}, access=access, at=at)


def remove(*, access: Access, host: Host, at: datetime) -> Host:
    """Begin to remove a host: what runs there is ended and placed elsewhere, and the agent goes.

    Raise Forbidden, and Conflict where it changed meanwhile or a gateway stands there.
    """
    require_manager(access, host.project)
    if host.state in (states.REMOVING, states.REMOVED):
        return host
    if host.instance is not None:
        gateways.refuse_while_on(host.instance)
    try:
        _begin_to_remove(host, "a person removed it", at=at, actor=access.actor)
    except Stale:
        raise Conflict(f"{host.name} changed meanwhile: look again.") from None
    return host


def project_deleted(project: Project) -> None:
    """Begin to remove all hosts of a project that is being deleted, in its transaction."""
    at = timezone.now()
    rows = Host.objects.select_related("project", "instance").select_for_update(of=("self",))
    live = rows.filter(project=project).exclude(state__in=(states.REMOVING, states.REMOVED))
    for host in live.order_by("pk"):
        _begin_to_remove(host, "its project is deleted", at=at)


def _begin_to_remove(host: Host, reason: str, *, at: datetime, actor: str = "") -> None:
    fields: dict[str, Any] = {"progress": [], "error": "", "next_check_at": at}
    with transaction.atomic():
        transition(host, states.REMOVING, at=at, reason=reason, actor=actor, **fields)
        # Before the machine: nothing new is placed there.
        machines.publish(host.project)
        if host.instance is not None:
            machines.end(host.instance, "its host is removed", at=at, actor=actor)


def require_manager(access: Access, project: Project) -> None:
    """Raise Forbidden for who may not add or remove hosts of the project."""
    if not access.is_admin(project):
        raise Forbidden(f"Only an admin of project {project.name} may add or remove its hosts.")


def _checked(new: NewHost) -> tuple[address.Place, dict[str, Any]]:
    jump = str(_place("jump", new.jump)) if new.jump.strip() else ""
    place = _place("address", new.where, is_behind=bool(jump))
    if new.name and not address.NAME.fullmatch(new.name):
        raise Invalid(f"name: {NAME_RULE}.", details=[Detail("name", NAME_RULE)])
    price = new.price_usd_per_hour
    if not math.isfinite(price) or not 0 <= price <= MOST_USD_PER_HOUR:
        said = f"must be a number of USD an hour from 0 to {MOST_USD_PER_HOUR:,}"
        raise Invalid(f"price: {said}.", details=[Detail("price_usd_per_hour", said)])
    return place, {
        "jump": jump,
        "key": crypto.encrypt(keys.checked(new.key)) if new.key.strip() else "",
        "price_usd_per_hour": Decimal(str(round(price, 4))),
    }


def _place(path: str, text: str, *, is_behind: bool = False) -> address.Place:
    try:
        place = address.parse(text)
    except address.BadAddress as error:
        raise Invalid(f"{path}: {error}.", details=[Detail(path, str(error))]) from None
    try:
        networks = settings.DSTACK_HOST_NETWORKS
        destinations.require_literal(place, networks, is_behind=is_behind)
    except destinations.Refused as error:
        raise Invalid(f"{path}: {error}", details=[Detail(path, str(error))]) from None
    return place


def _require_room(project: Project, name: str) -> None:
    live = Host.objects.filter(project=project).exclude(state=states.REMOVED)
    if live.filter(name=name).exists():
        raise Conflict(f"Project {project.name} has a host {name} already: give another --name.")
    if live.count() >= MOST_HOSTS:
        raise Conflict(f"Project {project.name} has {MOST_HOSTS} hosts, the most that it may have.")


def _free_name(project: Project, wanted: str) -> str:
    live = Host.objects.filter(project=project).exclude(state=states.REMOVED)
    taken = set(live.values_list("name", flat=True))
    numbered = (f"{wanted[:46]}-{number}" for number in range(2, MOST_HOSTS + 3))
    return next((name for name in (wanted, *numbered) if name not in taken), wanted)
