"""Reads of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from apps.accounts.models import Project
from apps.backends.providers.ssh import provider as ssh
from apps.core.errors import NotFound
from apps.core.state_machine import Look
from apps.hosts import keys, states
from apps.hosts.models import Host
from apps.hosts.work import findings, machines
from apps.instances import states as instance_states
from apps.instances.boot import former
from apps.instances.listing import queries as instances


@dataclass(frozen=True)
class Shown:
    """A host with what people want to know of it."""

    host: Host
    resources: str
    running: Sequence[instances.Running]

    @property
    def look(self) -> tuple[str, Look]:
        """How it stands, in a word: of one that is active, how its agent does."""
        instance = self.host.instance
        if self.host.state != states.ACTIVE or instance is None or instance.is_final:
            return self.host.state, states.HOST.looks[self.host.state]
        return instance.state, instance_states.INSTANCE.looks[instance.state]

    @property
    def executors(self) -> Sequence[str]:
        """How services run there, () before its check."""
        return machines.executors(self.host) if self.host.fact("cpus") else ()

    @property
    def told_to_leave_at(self) -> datetime | None:
        """When the agent that a removal had to leave there called, and was told to go."""
        return former.told_at(self.host.instance) if self.host.left_over else None

    @property
    def is_at_work(self) -> bool:
        return self.host.state in (*states.HOST.unfinished[:3], states.REMOVING)


def hosts_of(project: Project) -> QuerySet[Host]:
    found = Host.objects.filter(project=project).exclude(state=states.REMOVED)
    return found.select_related("instance", "project").order_by("name")


def named(project: Project, name: str) -> Host:
    """Return the project's host of that name, also one that was removed. Raise NotFound."""
    found = Host.objects.filter(project=project, name=name) if name.isprintable() else None
    if found is not None:
        found = found.select_related("instance", "project")
        host = found.exclude(state=states.REMOVED).first() or found.order_by("-id").first()
        if host is not None:
            return host
    raise NotFound(f"Project {project.name} has no host {name[:50]!r}.")


def shown(project: Project, hosts: list[Host]) -> list[Shown]:
    live = [each.instance for each in hosts if each.instance and not each.instance.is_final]
    running: dict[Any, Sequence[instances.Running]] = {
        row.instance.pk: row.running for row in instances.shown(project, live)
    }
    return [Shown(each, resources(each), running.get(each.instance_id, [])) for each in hosts]


def resources(host: Host) -> str:
    """Return what the host has, each kind of its GPUs too; "" before its check."""
    if not host.fact("cpus"):
        return ""
    offered = machines.offered(host)
    first, *_ = ssh.offers_of(offered)
    more = [f"{each.count}x{each.name}" for each in offered.gpus[1:]]
    return ", ".join([str(first.hardware), *more])


def public_key(project: Project) -> str:
    """Return the public half of the key that the server made for the project."""
    return keys.of_project(project).public


def host_json(row: Shown) -> dict[str, Any]:
    """Return a host as API and CLI show it: never a key."""
    host, (word, _) = row.host, row.look
    gpus = findings.gpus(host.facts).kinds
    return {
        "name": host.name,
        "state": host.state,
        "status": word,
        "state_since": host.state_at,
        "user": host.user,
        "address": host.address,
        "port": host.port,
        "jump": host.jump or None,
        "key": "given" if host.key else "server",
        "fingerprint": host.fingerprint or None,
        "offered_fingerprint": host.offered_fingerprint or None,
        "price_usd_per_hour": float(host.price_usd_per_hour),
        "resources": row.resources or None,
        "executors": list(row.executors),
        "gpus": [{"name": g.name, "count": g.count, "memory_mib": g.memory_mib} for g in gpus],
        "running": [{"run": each.run, "replica": each.replica} for each in row.running],
        "progress": host.progress,
        "reported_at": host.instance.reported_at if host.instance else None,
        "error": host.error or None,
        "left_over": host.left_over or None,
        "told_to_leave_at": row.told_to_leave_at,
        "created_at": host.created_at,
    }
