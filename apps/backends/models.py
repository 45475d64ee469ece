"""Backends: where machines come from, connected to a project with an encrypted configuration."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from apps.accounts.models import Project


class Backend(models.Model):
    """`config` is the provider's configuration, encrypted; kinds are checked by the registry, so
    that a new provider needs no migration.

    `name` is what people call it, `kind` which provider it is of: a project may have several of one
    kind. One that was closed stays as a row, since the machines that it gave keep naming it.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="backends")
    # Empty where code from before made the row: its kind was its name.
    name = models.CharField(max_length=32, db_default="")
    kind = models.CharField(max_length=32)
    config = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # From before it had this name.
        db_table = "backends_account"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                condition=models.Q(closed_at=None) & ~models.Q(name=""),
                name="one_open_backend_per_name",
            ),
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(kind="local"),
                name="this_machine_once_per_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.kind} of {self.project}"


class ServerIdentity(models.Model):
    """The one row by which clouds tell this server's machines from those of another; it is of the
    database, and so outlives a move to another host."""

    is_only = models.BooleanField(primary_key=True, default=True)
    server_id = models.UUIDField(default=uuid.uuid4)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="one_server")]

    def __str__(self) -> str:
        return str(self.server_id)
