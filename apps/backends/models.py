"""Connected accounts: a backend kind with its encrypted configuration, in one project."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from apps.accounts.models import Project


class Account(models.Model):
    """`config` is the provider's configuration, encrypted; kinds are checked by the registry, so
    that a new provider needs no migration.

    One that was closed stays as a row, since the machines that it gave keep naming it.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="accounts")
    kind = models.CharField(max_length=32)
    config = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind"], name="one_account_per_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.project}"
