"""Backends: where machines come from, connected with an encrypted configuration; their checks."""

from __future__ import annotations

import uuid
from uuid import UUID

from django.db import models
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import states
from apps.core.models import Stateful


class Backend(models.Model):
    """`config` is the provider's configuration, encrypted; kinds are checked by the registry, so
    that a new provider needs no migration.

    `name` is what people call it, `kind` which provider it is of: a project may have several of one
    kind. Without a project it is the server's own, for the projects that it is `shared_with`, or
    for all. On one that is disabled nothing new is placed. One that is `ending` ends its machines
    and is closed after the last; one that was closed stays as a row, since the machines that it
    gave keep naming it. `left_behind` is what may be in its account still, as `leaving` has it,
    `said` what its cloud said of one of the server's own, as `said` has it. `never_called` counts
    machines in a row that ran and never called this server the way `never_called_by`.
    """

    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="backends")
    # Empty where code from before made the row: its kind was its name.
    name = models.CharField(max_length=32, db_default="")
    kind = models.CharField(max_length=32)
    config = models.TextField()
    for_all = models.BooleanField(default=False, db_default=False)
    shared_with = models.ManyToManyField(Project, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    disabled_at = models.DateTimeField(null=True, blank=True)
    ending_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    left_behind = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    never_called = models.PositiveIntegerField(default=0, db_default=0)
    never_called_by = models.TextField(blank=True, default="", db_default="")
    said = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))

    class Meta:
        # From before it had this name.
        db_table = "backends_account"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                condition=models.Q(closed_at=None) & ~models.Q(name=""),
                nulls_distinct=False,
                name="one_open_backend_of_a_name",
            ),
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(kind="local"),
                name="this_machine_once_per_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.kind} of {self.project or 'the server'}"


class Check(Stateful):
    """A question to a provider whether a configuration works, asked by a worker.

    Without a backend it is one that is to be connected under `name`: only once it has passed does
    that become a backend. `config` is what is asked about, encrypted, and emptied with the answer;
    empty is the backend's own. `typed` is what a form was given but its secrets, encrypted, and
    emptied once the check has passed. `problems` are {"message", "policy"}, `facts` sentences about
    the account such as its quota. `for_all` and `shares`, ids of projects, are of a new one of the
    server's own; `also` is what changes with the configuration of one that there is (see
    `rows.Also`).
    """

    state_machine = states.CHECK

    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="+")
    backend = models.ForeignKey(Backend, models.CASCADE, null=True, related_name="checks")
    name = models.CharField(max_length=32)
    kind = models.CharField(max_length=32)
    config = models.TextField(blank=True)
    typed = models.TextField(blank=True, default="", db_default="")
    also = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    for_all = models.BooleanField(default=False)
    shares = models.JSONField(default=list)
    problems = models.JSONField(default=list)
    facts = models.JSONField(default=list)
    asked_by = models.CharField(max_length=150, blank=True)

    class Meta:
        indexes = [models.Index(fields=["next_check_at"], name="check_due")]

    def __str__(self) -> str:
        return f"check of {self.name}"

    @property
    def event_scope(self) -> tuple[int | None, UUID | None, str]:
        return self.project_id, None, self.name


class ServerIdentity(models.Model):
    """The one row by which clouds tell this server's machines from those of another.

    It is of the database, and so outlives a move to another host; `place` is the mark of the home
    that the database belongs to, empty until it has one (see `identity`).
    """

    is_only = models.BooleanField(primary_key=True, default=True)
    server_id = models.UUIDField(default=uuid.uuid4)
    place = models.TextField(blank=True, default="", db_default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="one_server")]

    def __str__(self) -> str:
        return str(self.server_id)
