"""The versions of a run, as pages and the API show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from apps.core import crypto
from apps.runs import states
from apps.runs.models import Run, RunVersion
from apps.runs.planning.diff import Difference
from apps.runs.rollout import versions

SHOWN_VERSIONS = 50
# The version that served before the oldest shown one may be a little older still.
LOOKED_AT = 2 * SHOWN_VERSIONS


@dataclass(frozen=True)
class Version:
    """One version; `differences` are against `against`, the one that served before it: a version
    that never got ready is nothing to compare with."""

    version: int
    is_current: bool
    user: str
    created_at: datetime
    note: str
    failed_at: datetime | None
    reason: str | None
    last_lines: Sequence[str]
    against: int | None
    differences: Sequence[Difference]
    configuration: str


def of(run: Run) -> list[Version]:
    """Return a run's newest versions, newest first."""
    rows = list(run.versions.select_related("user", "upload").order_by("-version")[:LOOKED_AT])
    vain = _never_ready(run)
    found = []
    for index, row in enumerate(rows[:SHOWN_VERSIONS]):
        earlier = (
            one for one in rows[index + 1 :] if one.version not in vain and not one.failed_at
        )
        found.append(_version(run, row, next(earlier, None)))
    return found


def _never_ready(run: Run) -> set[int]:
    """The versions of which replicas were started and none got ready.

    One without replicas of its own was asleep, or the next version took them over in place.
    """
    started = run.replicas.order_by().values("version")
    counted = started.annotate(ready=Count("ready_at"))
    return {row["version"] for row in counted if not row["ready"]}


def given_up(run: Run) -> RunVersion | None:
    """Return the newest version where it was given up and says something."""
    newest = run.versions.order_by("-version").first() if run.notice else None
    return newest if newest and newest.failed_at and _last_words(run, newest) else None


def _last_words(run: Run, row: RunVersion) -> Sequence[str]:
    """What the version's replica wrote last, also where its process ended after the version did."""
    lines: Sequence[str] = row.last_lines
    if lines or not row.failed_at:
        return lines
    failed = run.replicas.filter(version=row.version, state=states.FAILED)
    newest = failed.select_related("workload").order_by("-pk").first()
    return newest.last_words if newest else ()


def _version(run: Run, row: RunVersion, before: RunVersion | None) -> Version:
    changed: list[Difference] = []
    if before is not None:
        changed = versions.differences(versions.content_of(before), versions.content_of(row))
    return Version(
        version=row.version,
        is_current=row.version == run.version,
        user=row.user.username,
        created_at=row.created_at,
        note=row.note,
        failed_at=row.failed_at,
        reason=row.reason or None,
        last_lines=_last_words(run, row),
        against=before.version if before is not None else None,
        differences=changed,
        configuration=crypto.decrypt(row.configuration),
    )
