"""What every stateful row has, and the one table of events."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db import models
from django.utils import timezone

from apps.core import ids
from apps.core.state_machine import Machine


class Stateful(models.Model):
    """A row with a state. Only `apps.core.transition` writes `state`, `state_at`, `state_version`.

    `next_check_at` is when the sweep looks at the row again; null means never (final). It is at
    once the due time and the lease: who takes the row pushes it into the future first.
    """

    state_machine: ClassVar[Machine]

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    state = models.CharField(max_length=16)
    state_version = models.PositiveIntegerField(default=0)
    state_at = models.DateTimeField(default=timezone.now)
    next_check_at = models.DateTimeField(null=True, default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True

    @property
    def event_object(self) -> UUID:
        """Return what events of the row call it."""
        return self.id

    @property
    def is_final(self) -> bool:
        return self.state in self.state_machine.final


class Event(models.Model):
    """One change of state, or one decision about a run: audit log, timeline and trigger at once.

    `(state_machine, object_id, version)` is unique: each transition has exactly one event; a
    decision (state machine `scaling`, numbers as `old` and `new`) has an id of its own. Rows that
    belong to a project carry its id and the run's, so that a timeline needs no joins.
    """

    state_machine = models.CharField(max_length=16, db_column="machine")
    object_id = models.UUIDField()
    version = models.PositiveIntegerField()
    old = models.CharField(max_length=16)
    new = models.CharField(max_length=16)
    reason = models.TextField(blank=True)
    actor = models.CharField(max_length=150, blank=True)
    project_id = models.BigIntegerField(null=True)
    run_id = models.UUIDField(null=True)
    label = models.CharField(max_length=100, blank=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["state_machine", "object_id", "version"], name="one_event_per_transition"
            )
        ]
        indexes = [
            models.Index(fields=["run_id", "-id"]),
            models.Index(fields=["project_id", "-id"]),
            models.Index(fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.state_machine} {self.old} -> {self.new}"
