"""Log chunks: consecutive output lines of one replica, stored together."""

from __future__ import annotations

from django.db import models


class LogChunk(models.Model):
    """Lines `first_seq` to `last_seq` of one workload.

    `lines` is a JSON list of `[time, text]`, time as RFC 3339. Ids grow with arrival and are the
    cursor of readers. No foreign keys: logs are written by the thousand and pruned by time, and
    must not hold up the rows they belong to.
    """

    run_id = models.UUIDField()
    workload_id = models.UUIDField()
    replica_num = models.PositiveIntegerField()
    first_seq = models.PositiveBigIntegerField()
    last_seq = models.PositiveBigIntegerField()
    lines = models.JSONField()
    size_bytes = models.PositiveIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workload_id", "first_seq"], name="one_chunk_per_seq")
        ]
        indexes = [
            models.Index(fields=["run_id", "id"]),
            models.Index(fields=["last_at"]),
        ]

    def __str__(self) -> str:
        return f"lines {self.first_seq}..{self.last_seq} of {self.workload_id}"
