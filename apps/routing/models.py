"""The table of each gateway, entry by entry, and what it says of models."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project
from apps.gateways.models import Gateway
from apps.runs.models import Run

KINDS = [("endpoint", "Endpoint"), ("key", "Key"), ("cert", "Certificate")]


class Entry(models.Model):
    """One endpoint, key or certificate as the gateway knows it, without private keys; `version` is
    when it last changed.

    A `deleted` entry is a tombstone, so that a gateway that was away learns of it.
    """

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=8, choices=KINDS)
    ref = models.CharField(max_length=64)
    version = models.PositiveBigIntegerField()
    deleted = models.BooleanField(default=False)
    payload = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "kind", "ref"], name="one_entry_per_ref")
        ]
        indexes = [models.Index(fields=["gateway", "version"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.ref} v{self.version}"


class Repository(models.Model):
    """A model's repository, as far as it says how to write a chat: read with a token of the
    project, so it is the project's alone.

    `read_at` is when that succeeded last. After a failure `error` says why, and `next_try_at` when
    it is tried again.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="repositories")
    hub_url = models.CharField(max_length=300)
    name = models.CharField(max_length=200)
    revision = models.CharField(max_length=200)
    chat_template = models.TextField(blank=True)
    tool_template = models.TextField(blank=True)
    bos_token = models.CharField(max_length=200, blank=True)
    eos_token = models.CharField(max_length=200, blank=True)
    read_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, db_index=True)

    class Meta:
        verbose_name_plural = "repositories"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "hub_url", "name", "revision"], name="one_repository_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ModelSource(models.Model):
    """Where what a run's `model` leaves open comes from; `problem` says why from nowhere."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="model_source")
    repository = models.ForeignKey(Repository, models.CASCADE, null=True, related_name="sources")
    problem = models.TextField(blank=True)

    def __str__(self) -> str:
        return str(self.repository or self.problem)
