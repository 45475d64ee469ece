"""Machines as a project sees them: its own, and the server's own machine where it may use that."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries as backends
from apps.backends import services as kinds
from apps.backends.connecting import roles
from apps.backends.faults import said
from apps.core.errors import NotFound
from apps.core.models import Event
from apps.instances import caches, states
from apps.instances.boot import machine_spec
from apps.instances.caches import Cache
from apps.instances.costs import queries as costs
from apps.instances.models import GATEWAY, Instance, UnknownMachine, Workload
from apps.instances.strays import unknown

SHOWN_EVENTS = 100


@dataclass(frozen=True)
class Running:
    """A replica of the project on a machine, or a gateway of that name."""

    run: str
    replica: int | None
    state: str
    gateway: str = ""

    @property
    def label(self) -> str:
        """As costs name it."""
        return f"gateway {self.gateway}" if self.gateway else self.run


@dataclass(frozen=True)
class AtCloud:
    """What a machine is at its cloud: what that calls it, its page there ("" where none is known),
    and what it said of it last where projects do not read that."""

    id: str
    page: str
    said: Sequence[said.Said]


@dataclass(frozen=True)
class Shown:
    """A machine with what a row of it says. `others` counts what other projects run there;
    `at_cloud` is for who may change its backend."""

    instance: Instance
    running: Sequence[Running]
    others: int
    cost_usd: Decimal
    caches: Sequence[Cache] = ()
    at_cloud: AtCloud | None = None

    @property
    def resources(self) -> str:
        try:
            return str(machine_spec.offer_of(self.instance).hardware)
        except (KeyError, TypeError):  # made by a server of another version
            return ""

    @property
    def idle_until(self) -> datetime | None:
        instance = self.instance
        if instance.state != states.IDLE or None in (instance.idle_since, instance.idle_seconds):
            return None
        assert instance.idle_since is not None and instance.idle_seconds is not None
        return instance.idle_since + timedelta(seconds=instance.idle_seconds)

    @property
    def next_try_at(self) -> datetime | None:
        """When a call of the backend that failed is repeated."""
        return self.instance.next_check_at if self.instance.attempts else None

    @property
    def may_end(self) -> bool:
        over = (*states.INSTANCE.final, states.TERMINATING)
        return self.instance.state not in over and not kinds.is_standing(self.instance.backend_kind)


def instances_of(project: Project, *, ended: bool = False) -> QuerySet[Instance]:
    """Return the project's machines and the server's own where it is open for the project."""
    seen = Q(project=project)
    if backends.backends_of(project).filter(kind=backends.LOCAL).exists():
        seen |= Q(shared=True, backend_kind=backends.LOCAL)
    found = Instance.objects.filter(seen).select_related("backend", "project")
    return found if ended else found.filter(state__in=states.INSTANCE.unfinished)


def find(project: Project, name: str) -> Instance:
    """Return the machine of that name, the newest of those. Raise NotFound."""
    named = instances_of(project, ended=True).filter(name=name) if name.isprintable() else None
    live = Q(state__in=states.INSTANCE.unfinished)
    found = named and (named.filter(live).first() or named.order_by("-id").first())
    if not found:
        raise NotFound(f"There is no instance {name[:100]!r} in project {project.name}.")
    return found


def shown(
    project: Project, instances: Sequence[Instance], *, access: Access | None = None
) -> list[Shown]:
    """Return what is to be said of these, with a few queries for all.

    Of other projects' model files only to admins of the server (`access`), and what a cloud calls
    its machines to who may change the backend.
    """
    at = timezone.now()
    spent = costs.of_instances([each.pk for each in instances], at=at)
    running, others = _running(project, instances)
    sees_all = access is not None and access.is_global_admin
    return [
        Shown(
            *(each, running[each.pk], others[each.pk], spent[each.pk]),
            caches=caches.seen(each, project, all_projects=sees_all),
            at_cloud=_at_cloud(access, each),
        )
        for each in instances
    ]


def _at_cloud(access: Access | None, instance: Instance) -> AtCloud | None:
    backend = instance.backend
    if access is None or kinds.is_standing(backend.kind):
        return None
    if not roles.may_manage(access, backend):
        return None
    told = list(said.of(backend, instance.pk))
    if not instance.ref:
        return AtCloud("", "", told) if told else None
    at = kinds.id_of(backend.kind, instance.ref)
    return AtCloud(at, kinds.page_of(backend, instance.ref), told)


def _running(
    project: Project, instances: Sequence[Instance]
) -> tuple[dict[UUID, list[Running]], dict[UUID, int]]:
    live = Workload.objects.filter(instance__in=instances).exclude(state=states.EXITED)
    mine: dict[UUID, list[Running]] = defaultdict(list)
    others: dict[UUID, int] = defaultdict(int)
    fields = ("instance_id", "name", "state", "spec__project", "spec__run_name", "owner_kind")
    for pk, name, state, owner, run, kind in live.order_by("name").values_list(*fields):
        if owner == project.name:
            mine[pk].append(_running_one(name, state, run, is_gateway=kind == GATEWAY))
        else:
            others[pk] += 1
    return mine, others


def _running_one(name: str, state: str, run: str | None, *, is_gateway: bool) -> Running:
    number = name.rpartition("-")[2]
    is_numbered = not is_gateway and number.isascii() and number.isdecimal()
    return Running(run or name, int(number) if is_numbered else None, state, name * is_gateway)


def names(running: Iterable[Sequence[Running]]) -> list[str]:
    """Return the names of all that runs on some machines, as costs have them."""
    return [each.label for on_one in running for each in on_one]


def events_of(instance: Instance) -> QuerySet[Event]:
    """Return what happened to a machine, newest first."""
    found = Event.objects.filter(state_machine=states.INSTANCE.name, object_id=instance.pk)
    return found.order_by("-version")


def unknown_machines(access: Access, project: Project) -> list[UnknownMachine]:
    """Return machines of the project's backends that no row knows, for admins of the server."""
    if not access.is_global_admin:
        return []
    its = Q(backend__project=project) | Q(backend__project=None)
    found = UnknownMachine.objects.filter(its).select_related("backend")
    return list(found.order_by("first_seen_at", "pk"))


def instance_json(row: Shown) -> dict[str, Any]:
    """Return a machine as API and CLI show it."""
    instance = row.instance
    return {
        "name": instance.name,
        "state": instance.state,
        "state_since": instance.state_at,
        "backend": instance.backend.name or instance.backend_kind,
        "region": instance.region,
        "zone": instance.zone or None,
        "cloud_id": (row.at_cloud and row.at_cloud.id) or None,
        "cloud_page": (row.at_cloud and row.at_cloud.page) or None,
        "instance": instance.instance_type,
        "resources": row.resources,
        "spot": bool(instance.offer.get("spot")),
        "price_usd_per_hour": float(instance.price_usd_per_hour),
        "cost_usd": round(float(row.cost_usd), 4),
        "shared": instance.shared,
        "running": [dataclasses.asdict(each) for each in row.running],
        "running_of_others": row.others,
        "caches": [dataclasses.asdict(each) for each in row.caches],
        "idle_until": row.idle_until,
        "reported_at": instance.reported_at,
        "attempts": instance.attempts,
        "next_try_at": row.next_try_at,
        "error": instance.error or None,
        "created_at": instance.created_at,
    }


def unknown_json(machine: UnknownMachine) -> dict[str, Any]:
    return {
        "backend": machine.backend.name or machine.backend.kind,
        "ref": machine.ref,
        "name": machine.name,
        "tags": machine.tags,
        "first_seen_at": machine.first_seen_at,
        "ends_at": unknown.ends_at(machine),
        "error": machine.error or None,
    }


def detail_json(row: Shown) -> dict[str, Any]:
    events = events_of(row.instance)[:SHOWN_EVENTS]
    return {
        **instance_json(row),
        "cloud_said": [
            {"at": each.when, "kind": each.kind, "text": each.text}
            for each in (row.at_cloud.said if row.at_cloud else ())
        ],
        "console_tail": row.instance.console_tail,
        "events": [
            {"at": e.at, "old": e.old or None, "new": e.new, "reason": e.reason,
             "actor": e.actor or None}
            for e in events
        ],
    }  # fmt: skip
