"""What replicas print, and what was asked of services.

Lines come in chunks, with how far each source and each run has come; requests in buckets of time.
No foreign keys to runs: both are written by the thousand and pruned by time, and must not hold up
the rows they belong to.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from apps.gateways.models import Gateway


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


class GatewayFeed(models.Model):
    """How far a gateway's statistics have come. Whoever takes a look locks this row first, so a
    look that comes twice or late is known. `looked_at` is by the gateway's clock, `span_seconds`
    the time between the last look and the one before."""

    gateway = models.OneToOneField(Gateway, models.CASCADE, primary_key=True, related_name="feed")
    boot_id = models.CharField(max_length=64, blank=True)
    sequence = models.BigIntegerField(default=-1)
    looked_at = models.DateTimeField(null=True)
    span_seconds = models.FloatField(null=True)

    def __str__(self) -> str:
        return f"look {self.sequence} of {self.gateway_id}"


class Counter(models.Model):
    """The last value of one of a gateway's cumulative counters, to tell what is new.

    `kind` is "counts" (five classes, bytes in and out, tokens in and out; `token_id` 0 is a caller
    without a key), "total_us" or "first_us" (pairs of a histogram; see `histograms`), or "latency"
    or "first_byte" (coarse buckets, of a gateway of an earlier version).
    """

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="counters")
    run_id = models.UUIDField()
    token_id = models.BigIntegerField(default=0)
    kind = models.CharField(max_length=10)
    values = ArrayField(models.BigIntegerField())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["gateway", "run_id", "token_id", "kind"], name="one_counter_per_kind"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.run_id}"


class Traffic(models.Model):
    """What was asked of one run in `seconds` from `at` on: 10 s, later rolled up to coarser ones.

    `by_class` has the answers of 1xx to 5xx, `usages` counts those that said their tokens.
    `total_us` and `first_us` are pairs of a histogram (see `histograms`), null in what an earlier
    version wrote. `latency` and `first_byte` are what gateways of earlier versions say, by
    LATENCY_BOUNDS_MS of the gateway's schema.
    """

    run_id = models.UUIDField()
    seconds = models.PositiveIntegerField()
    at = models.DateTimeField()
    by_class = ArrayField(models.BigIntegerField(), default=list)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    usages = models.BigIntegerField(default=0, db_default=0)
    tokens_in = models.BigIntegerField(default=0)
    tokens_out = models.BigIntegerField(default=0)
    latency = ArrayField(models.BigIntegerField(), default=list)
    first_byte = ArrayField(models.BigIntegerField(), default=list)
    total_us = ArrayField(models.BigIntegerField(), default=list, null=True)
    first_us = ArrayField(models.BigIntegerField(), default=list, null=True)
    in_flight_max = models.BigIntegerField(default=0)
    held_max = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run_id", "seconds", "at"], name="one_row_per_bucket")
        ]
        indexes = [models.Index(fields=["seconds", "at"]), models.Index(fields=["run_id", "at"])]

    def __str__(self) -> str:
        return f"{self.seconds} s of {self.run_id} from {self.at}"

    @property
    def has_tokens(self) -> bool:
        """Whether tokens were measured. Gateways of earlier versions do not count who said them."""
        return bool(self.usages or self.tokens_in or self.tokens_out)


class KeyUse(models.Model):
    """What one token asked of one run in one hour; `token_id` 0 is callers without a key."""

    run_id = models.UUIDField()
    token_id = models.BigIntegerField()
    hour = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    tokens_in = models.BigIntegerField(default=0)
    tokens_out = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run_id", "token_id", "hour"], name="one_use_per_hour")
        ]
        indexes = [models.Index(fields=["hour"])]

    def __str__(self) -> str:
        return f"use of {self.run_id} by {self.token_id}"


class RequestTotal(models.Model):
    """How many answers one run gave since it was made: a counter, which never falls.

    The hours of `KeyUse` are pruned, and their sum would fall with each of them. `bad_at` is when
    requests last failed or waited: of most runs they never did, and whoever asks what went wrong
    lately need not read the traffic of those.
    """

    run_id = models.UUIDField(primary_key=True)
    requests = models.BigIntegerField(default=0)
    bad_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.requests} requests of {self.run_id}"


class ServedRequest(models.Model):
    """One request to a run, over `at`, as its gateway told it; it stands for `weight` of them.

    `status` is 499 where the caller left before an answer, `ended` who broke off ("caller",
    "replica", "timeout", "gateway"). `token_id` is null where no key of the project's called.
    """

    run_id = models.UUIDField()
    at = models.DateTimeField()
    request_id = models.CharField(max_length=128, blank=True)
    method = models.CharField(max_length=16, blank=True)
    path = models.CharField(max_length=200, blank=True)
    status = models.PositiveSmallIntegerField()
    ended = models.CharField(max_length=16, blank=True)
    token_id = models.BigIntegerField(null=True)
    by_browser = models.BooleanField(default=False)
    replica_num = models.PositiveIntegerField(null=True)
    held_ms = models.FloatField(default=0)
    first_byte_ms = models.FloatField(null=True)
    total_ms = models.FloatField()
    tokens_in = models.BigIntegerField(null=True)
    tokens_out = models.BigIntegerField(null=True)
    weight = models.BigIntegerField(default=1)

    class Meta:
        indexes = [
            models.Index(fields=["run_id", "at"]),
            models.Index(fields=["run_id", "request_id"]),
            models.Index(fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} of {self.run_id}"


class Usage(models.Model):
    """What one replica used of its host in `seconds` from `at` on: 10 s, later rolled up.

    `samples` is how many were added up: sums divided by it are means. Null is not known.
    """

    run_id = models.UUIDField()
    replica_num = models.PositiveIntegerField()
    seconds = models.PositiveIntegerField()
    at = models.DateTimeField()
    samples = models.PositiveIntegerField(default=1)
    cpu_cores_sum = models.FloatField()
    cpu_cores_max = models.FloatField()
    cpu_limit = models.FloatField(null=True)
    memory_bytes_max = models.BigIntegerField()
    memory_limit_bytes = models.BigIntegerField(null=True)
    disk_bytes_max = models.BigIntegerField(null=True)
    gpu_percent_sum = models.FloatField(null=True)
    gpu_percent_max = models.FloatField(null=True)
    gpu_memory_bytes_max = models.BigIntegerField(null=True)
    gpu_memory_total_bytes = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "replica_num", "seconds", "at"], name="one_usage_per_bucket"
            )
        ]
        indexes = [models.Index(fields=["seconds", "at"])]

    def __str__(self) -> str:
        return f"{self.seconds} s of {self.run_id}/{self.replica_num} from {self.at}"
