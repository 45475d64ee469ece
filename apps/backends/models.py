"""Backends: where machines come from, connected to a project with an encrypted configuration."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from apps.accounts.models import Project


class Backend(models.Model):
    """`config` is the provider's configuration, encrypted; kinds are checked by the registry, so
    that a new provider needs no migration.

    One that was closed stays as a row, since the machines that it gave keep naming it.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="backends")
    kind = models.CharField(max_length=32)
    config = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # From before it had this name.
        db_table = "backends_account"
        constraints = [
            models.UniqueConstraint(fields=["project", "kind"], name="one_account_per_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.project}"


class ServerIdentity(models.Model):
    """The one row by which clouds tell this server's machines from those of another; it is of the
    database, and so outlives a move to another host."""

    is_only = models.BooleanField(primary_key=True, default=True)
    server_id = models.UUIDField(default=uuid.uuid4)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="one_server")]

    def __str__(self) -> str:
        return str(self.server_id)
