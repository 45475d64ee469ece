"""The one way in which a state changes.

Rule: nobody writes `state`, `state_at` or `state_version` but this file. A change is refused by the
table (`Machine.check`), guarded by the row's version (`WHERE id AND state_version`), recorded as an
Event in the same transaction, and made known after the commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import F

from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.models import Event, Stateful


class Stale(Exception):
    """Another worker changed the row first; look again."""


@dataclass
class Change:
    """A wanted change of one row: the new state, why, and the fields that change with it."""

    row: Stateful
    to: str
    reason: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def transition(
    row: Stateful, to: str, *, at: datetime, reason: str = "", actor: str = "", **fields: Any
) -> None:
    """Move one row to state `to` and set `fields` with it.

    Raise IllegalTransition for an edge the table lacks and Stale when another worker was faster.
    """
    change = Change(row, to, reason, fields)
    if transition_all([change], at=at, actor=actor) != [row]:
        raise Stale(f"{row.state_machine.name} {row.pk} changed meanwhile")


def transition_all(changes: Sequence[Change], *, at: datetime, actor: str = "") -> list[Stateful]:
    """Make many changes with few statements; rows may be of several models.

    Return the rows that changed. A row that another worker changed first is left out and keeps
    its old values; the whole rest is done.
    """
    for change in changes:
        change.row.state_machine.check(change.row.state, change.to)
    done: list[Stateful] = []
    with transaction.atomic():
        for model, group in _by_model(changes).items():
            done += _write(model, group, at=at, actor=actor)
    return done


def _by_model(changes: Iterable[Change]) -> dict[type[Stateful], list[Change]]:
    groups: dict[type[Stateful], list[Change]] = defaultdict(list)
    for change in changes:
        groups[type(change.row)].append(change)
    return groups


def _write(
    model: type[Stateful], changes: list[Change], *, at: datetime, actor: str
) -> list[Stateful]:
    held = _lock(model, [change.row.pk for change in changes])
    current = [c for c in changes if held.get(c.row.pk) == c.row.state_version]
    events = [_apply(change, at=at, actor=actor) for change in current]
    names = {name for change in current for name in change.fields}
    _update(model, [c.row for c in current], {"state", "state_at", "state_version", *names})
    Event.objects.bulk_create(events)
    for state in {change.to for change in current}:
        ids = [change.row.pk for change in current if change.to == state]
        after_commit(notifications.transitioned, model.state_machine.name, state, ids)
    return [change.row for change in current]


def _lock(model: type[Stateful], ids: list[Any]) -> dict[Any, int]:
    # Ordered, so that two workers that change the same rows cannot deadlock.
    rows = model._default_manager.select_for_update().filter(pk__in=ids).order_by("pk")
    return dict(rows.values_list("pk", "state_version"))


def _apply(change: Change, *, at: datetime, actor: str) -> Event:
    row, old = change.row, change.row.state
    row.state, row.state_at, row.state_version = change.to, at, row.state_version + 1
    for name, value in change.fields.items():
        setattr(row, name, value)
    project_id, run_id, label = getattr(row, "event_scope", (None, None, ""))
    return Event(
        state_machine=row.state_machine.name,
        object_id=row.event_object,
        version=row.state_version,
        old=old,
        new=change.to,
        reason=change.reason,
        actor=actor,
        project_id=project_id,
        run_id=run_id,
        label=label,
        at=at,
    )


def _update(model: type[Stateful], rows: list[Stateful], names: set[str]) -> None:
    """One value for all rows is one short statement; a value for each costs a branch for each."""
    manager: models.Manager[Any] = model._default_manager
    if not rows:
        return
    first = rows[0]
    same = {
        name: getattr(first, name)
        for name in names - {"state_version"}
        if all(getattr(row, name) == getattr(first, name) for row in rows)
    }
    # The versions were checked under lock, so that each grows by one.
    version = F("state_version") + 1
    manager.filter(pk__in=[row.pk for row in rows]).update(**same, state_version=version)
    if own := sorted(names - {"state_version", *same}):
        manager.bulk_update(rows, own)


def created(row: Stateful, *, at: datetime, reason: str = "", actor: str = "") -> None:
    """Record the birth of a row as its first event (version 0) and notify."""
    project_id, run_id, label = getattr(row, "event_scope", (None, None, ""))
    Event.objects.create(
        state_machine=row.state_machine.name,
        object_id=row.event_object,
        version=row.state_version,
        old="",
        new=row.state,
        reason=reason,
        actor=actor,
        project_id=project_id,
        run_id=run_id,
        label=label,
        at=at,
    )
    after_commit(notifications.transitioned, row.state_machine.name, row.state, [row.pk])
