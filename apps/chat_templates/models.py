"""What the repositories of models say of chats, and which run reads which."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project
from apps.runs.models import Run


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
        # Of the app that had the model before.
        db_table = "routing_repository"
        verbose_name_plural = "repositories"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "hub_url", "name", "revision"], name="one_repository_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ModelSource(models.Model):
    """Where what a run's `model` leaves open comes from; `problem` says why from nowhere.

    `version` is the one of the run that it was read for, 0 before that was done to the end.
    """

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="model_source")
    repository = models.ForeignKey(Repository, models.CASCADE, null=True, related_name="sources")
    problem = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "routing_modelsource"

    def __str__(self) -> str:
        return str(self.repository or self.problem)
