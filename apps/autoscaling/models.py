"""What was decided and why, and what the autoscaler remembers between two looks."""

from __future__ import annotations

from django.db import models

from apps.runs.models import Run


class Scaler(models.Model):
    """The memory of one run's scaling (`decide.Memory`), written only where it changed.

    `kind` is that of the newest decision.
    """

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="scaler")
    memory = models.JSONField(default=dict)
    kind = models.CharField(max_length=8, blank=True)

    def __str__(self) -> str:
        return f"scaler of {self.run_id}"


class Decision(models.Model):
    """One decision; a row only where the desired number or the kind of reason changed."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="decisions")
    at = models.DateTimeField()
    before = models.PositiveIntegerField()
    desired_replicas = models.PositiveIntegerField(db_column="wanted")
    ready = models.PositiveIntegerField()
    kind = models.CharField(max_length=8)
    reason = models.CharField(max_length=300)

    class Meta:
        indexes = [models.Index(fields=["run", "-id"])]

    def __str__(self) -> str:
        return self.reason
