"""The versions of a run, as pages and the API show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from apps.core import crypto
from apps.runs import updates
from apps.runs.models import Run, RunVersion
from apps.runs.plan import Difference

SHOWN_VERSIONS = 50


@dataclass(frozen=True)
class Version:
    """One version; `differences` are against the one before it."""

    version: int
    is_current: bool
    user: str
    created_at: datetime
    note: str
    failed_at: datetime | None
    reason: str | None
    last_lines: Sequence[str]
    differences: Sequence[Difference]
    configuration: str


def of(run: Run) -> list[Version]:
    """This function will return a run's newest versions, newest first."""
    rows = run.versions.select_related("user", "upload").order_by("-number")
    found: list[RunVersion | None] = [*rows[: SHOWN_VERSIONS + 1]]
    if len(found) <= SHOWN_VERSIONS:
        found.append(None)
    return [_version(run, row, before) for row, before in pairwise(found) if row is not None]


def given_up(run: Run) -> RunVersion | None:
    """This function will return the newest version where it was given up and says something."""
    newest = run.versions.order_by("-number").first() if run.notice else None
    return newest if newest and newest.failed_at and newest.last_lines else None


def _version(run: Run, row: RunVersion, before: RunVersion | None) -> Version:
    changed: list[Difference] = []
    if before is not None:
        changed = updates.differences(updates.content_of(before), updates.content_of(row))
    return Version(
        version=row.number,
        is_current=row.number == run.deployment,
        user=row.user.username,
        created_at=row.created_at,
        note=row.note,
        failed_at=row.failed_at,
        reason=row.reason or None,
        last_lines=row.last_lines,
        differences=changed,
        configuration=crypto.decrypt(row.configuration),
    )
