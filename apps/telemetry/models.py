"""What replicas print: lines in chunks, and how far each source and each run has come.

No foreign keys: logs are written by the thousand and pruned by time, and must not hold up the rows
they belong to.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone


class RunLog(models.Model):
    """One run's log. Whoever writes to it locks this row first.

    So chunk ids of a run become visible in their order, and a reader's cursor never passes a line
    that is still to come. `dropped_lines` counts what was pruned.
    """

    run_id = models.UUIDField(primary_key=True)
    size_bytes = models.BigIntegerField(default=0)
    dropped_lines = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"log of {self.run_id} ({self.size_bytes} bytes)"


class LogSource(models.Model):
    """One workload's output; `next_seq` is the number of the line that it should send next."""

    workload_id = models.UUIDField(primary_key=True)
    run_id = models.UUIDField(db_index=True)
    replica_num = models.PositiveIntegerField()
    next_seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"output of {self.workload_id} up to {self.next_seq}"


class LogChunk(models.Model):
    """Lines `first_seq` to `last_seq` of one workload. Never changed once written.

    `text` has the lines joined by newlines, so that the database can search it; `offsets_ms` has
    each line's time, counted from `first_at`. A line is named by chunk id and index: its cursor.
    """

    run_id = models.UUIDField()
    workload_id = models.UUIDField()
    replica_num = models.PositiveIntegerField()
    first_seq = models.PositiveBigIntegerField()
    last_seq = models.PositiveBigIntegerField()
    text = models.TextField()
    offsets_ms = ArrayField(models.IntegerField())
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
