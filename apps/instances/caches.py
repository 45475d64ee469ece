"""Model files that machines keep for projects: what agents tell of them, and clearing one.

The agent names each by the project's number. A member sees those of the own project; whose server
it is sees all, since they share a disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.dateparse import parse_datetime

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.core.errors import Conflict, NotFound
from apps.instances import services, states
from apps.instances.models import Instance

# An agent speaks for its own machine, which nobody fills with more.
MOST_CACHES, MOST_BYTES = 1000, 2**60


@dataclass(frozen=True)
class Cache:
    """`bytes` is None before its agent measured it; `clearing` tells that it is to be removed."""

    project: str
    bytes: int | None
    used_at: datetime | None
    clearing: bool


def key(project: Project | int) -> str:
    """Return how agents call a project's."""
    return str(project if isinstance(project, int) else project.pk)


def wanted(project: Project) -> str:
    """Return what a new replica of the project gets, "" where none are kept."""
    return key(project) if settings.DSTACK_CACHE_KEEP_SECONDS else ""


def rules(instance: Instance) -> wire.CacheRules:
    """Return what the agent is told. A machine that only one project has may be filled by it."""
    gb = settings.DSTACK_CACHE_DISK_GB
    return wire.CacheRules(
        keep_seconds=float(settings.DSTACK_CACHE_KEEP_SECONDS),
        is_bounded=instance.shared,
        limit_mib=int(gb * 1024) if gb else None,
        clear=list(instance.caches_to_clear),
    )


def told(report: wire.Report) -> list[dict[str, Any]]:
    """Return what to keep of a report."""
    return [
        {
            "id": _text(each.id, 64),
            "key": _text(each.key, 64),
            "bytes": None if each.bytes is None else min(max(each.bytes, 0), MOST_BYTES),
            "used_at": _text(each.used_at, 40),
        }
        for each in report.caches[:MOST_CACHES]
    ]


def _text(said: str, most: int) -> str:
    """PostgreSQL stores no NUL characters."""
    return said.replace("\x00", "\ufffd")[:most]


def forget_cleared(instance: Instance, report: wire.Report) -> None:
    """Want no more to be removed what is gone; in the transaction of a report."""
    if not instance.caches_to_clear:
        return
    there = {each.id for each in report.caches}
    row = Instance.objects.select_for_update().get(pk=instance.pk)
    left = [each for each in row.caches_to_clear if each in there]
    if left != row.caches_to_clear:
        Instance.objects.filter(pk=row.pk).update(caches_to_clear=left)


def seen(instance: Instance, project: Project, *, all_projects: bool) -> list[Cache]:
    """Return the project's, or those of all projects, the largest first."""
    kept = [each for each in instance.caches if all_projects or each["key"] == key(project)]
    names = _names([each["key"] for each in kept]) if all_projects else {key(project): project.name}
    found = [
        Cache(
            names.get(each["key"], f"project {each['key']}"),
            each["bytes"],
            _time(each["used_at"]),
            each["id"] in instance.caches_to_clear,
        )
        for each in kept
    ]
    return sorted(found, key=lambda each: (-(each.bytes or 0), each.project))


def clear(instance: Instance, project: Project, *, access: Access) -> None:
    """Have the project's model files on a machine removed; asked again it is no error.

    Raise Forbidden, NotFound where there are none, and Conflict while replicas have them.
    """
    access.require_admin(project)
    with transaction.atomic():
        row = Instance.objects.select_for_update().get(pk=instance.pk)
        ids = [each["id"] for each in row.caches if each["key"] == key(project)]
        if not ids or row.is_final:
            raise NotFound(f"{row.name} keeps no model files of project {project.name}.")
        users = _users(row, project)
        if users:
            raise Conflict(
                f"{users} replica{'s' if users > 1 else ''} of project {project.name} on "
                f"{row.name} may be using the model files: stop what runs there, then clear them."
            )
        new = [each for each in ids if each not in row.caches_to_clear]
        Instance.objects.filter(pk=row.pk).update(caches_to_clear=[*row.caches_to_clear, *new])
        services.tell_agent(row)
    instance.refresh_from_db(fields=["caches_to_clear"])


def _users(instance: Instance, project: Project) -> int:
    live = instance.workloads.exclude(state=states.EXITED)
    return live.filter(spec__cache=key(project)).count()


def _names(keys: Sequence[str]) -> dict[str, str]:
    numbers = [int(each) for each in keys if each.isascii() and each.isdecimal()]
    rows = Project.objects.filter(pk__in=[each for each in numbers if each < 2**63])
    return {key(pk): name for pk, name in rows.values_list("pk", "name")}


def _time(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
