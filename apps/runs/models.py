"""Runs, their replicas, and the uploads they start from."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import models
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import Project, User
from apps.agent import wire
from apps.core.models import Stateful
from apps.gateways.models import Gateway
from apps.instances import states as instance_states
from apps.instances.models import Instance, Workload
from apps.runs import schedule, states

ONE_RUN_PER_MODEL = "one_active_run_per_model_name"


class Upload(models.Model):
    """A working folder, packed: the blob lies in Django's storage.

    `hash` is of what it holds, whatever the times of its files; `archive_hash` of the blob's bytes.
    Of an upload from before files kept their times, `hash` is both. `used_at` is when somebody last
    sent it or asked whether it is there, and may be about to submit it.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="uploads")
    hash = models.CharField(max_length=64)
    archive_hash = models.CharField(max_length=64, blank=True, db_default="", default="")
    size_bytes = models.BigIntegerField()
    blob = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(default=timezone.now, db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "hash"], name="one_upload_per_hash")
        ]

    def __str__(self) -> str:
        return f"{self.hash[:12]} ({self.size_bytes} bytes)"

    @property
    def blob_hash(self) -> str:
        return self.archive_hash or self.hash


class UploadFiles(models.Model):
    """The files of an upload as compressed JSON: path to a digest and a time. Kept apart because
    it is large and seldom looked at."""

    upload = models.OneToOneField(Upload, models.CASCADE, primary_key=True, related_name="files")
    packed = models.BinaryField()

    def __str__(self) -> str:
        return f"files of {self.upload_id}"


class Run(Stateful):
    """A service that was submitted.

    `spec` is the normalised configuration without any value of the environment; `secrets` holds
    those (encrypted: {"env": {...}, "registry_password": ...}), `configuration` the text it all
    came from (encrypted too: people write keys into it). `version` is the one that
    should run; `fallback`, while that one is not promoted, the version to return to.
    `desired_replicas` is what scaling decided; failures from before `failures_counted_since`, when
    a person last asked for replicas, no longer count. `notice` is what a person should know
    although the run goes on. `model_withheld` where another run of the gateway has the model's
    name, so that this one offers none. Only `control.reconcile`, under the row's lock, writes
    `state`.
    """

    state_machine = states.RUN

    project = models.ForeignKey(Project, models.PROTECT, related_name="runs")
    user = models.ForeignKey(User, models.PROTECT, related_name="runs")
    name = models.CharField(max_length=50)
    gateway = models.ForeignKey(Gateway, models.PROTECT, null=True, related_name="runs")
    configuration = models.TextField()
    spec = models.JSONField()
    secrets = models.TextField()
    upload = models.ForeignKey(Upload, models.PROTECT, null=True, related_name="runs")
    upload_times = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    version = models.PositiveIntegerField(default=1, db_column="deployment")
    fallback = models.PositiveIntegerField(null=True)
    desired_replicas = models.PositiveIntegerField(default=1, db_column="replicas_wanted")
    failures_counted_since = models.DateTimeField(default=timezone.now, db_column="asked_at")
    stop_requested_at = models.DateTimeField(null=True)
    stop_reason = models.CharField(max_length=200, blank=True)
    abort = models.BooleanField(default=False)
    ready_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    notice = models.TextField(blank=True)
    deleted_at = models.DateTimeField(null=True)
    model_withheld = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                models.F("gateway"),
                KeyTextTransform("name", KeyTransform("model", "spec")),
                condition=~models.Q(state__in=["stopping", "stopped", "failed"])
                & models.Q(model_withheld=False),
                name=ONE_RUN_PER_MODEL,
            ),
            models.UniqueConstraint(
                fields=["project", "name"],
                condition=~models.Q(state__in=["stopping", "stopped", "failed"]),
                name="one_active_run_per_name",
            ),
            models.UniqueConstraint(
                fields=["gateway", "name"],
                condition=~models.Q(state__in=["stopping", "stopped", "failed"]),
                name="one_active_run_per_host_name",
            ),
        ]
        indexes = [
            models.Index(fields=["next_check_at"], name="run_due"),
            models.Index(fields=["project", "-id"]),
            models.Index(fields=["project", "name", "-id"]),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def event_scope(self) -> tuple[int, UUID, str]:
        return self.project_id, self.pk, self.name

    @property
    def timetable(self) -> schedule.Timetable | None:
        """When it runs, where it has a schedule and is not over."""
        return None if self.is_final else schedule.of(self.spec, since=self.created_at)

    @property
    def is_off(self) -> bool:
        """Whether its schedule leaves it without replicas now."""
        return self.timetable is not None and not self.timetable.is_on(timezone.now())

    @property
    def desired_now(self) -> int:
        """How many replicas it should have, by its schedule too."""
        return 0 if self.is_off else self.desired_replicas

    @property
    def scale_words(self) -> str:
        """How many replicas it was asked to have, as a person writes it: `3`, or `0..4`."""
        limits = self.spec["replicas"]
        if self.spec.get("scaling"):
            return f"{limits['min'] or 0}..{limits['max']}"
        return str(self.desired_replicas)

    @property
    def ends_at(self) -> datetime | None:
        """When it ends by itself, by the `max_duration` of its spec."""
        seconds = self.spec.get("max_duration_seconds")
        if seconds is None or self.is_final or self.stop_requested_at is not None:
            return None
        return self.created_at + timedelta(seconds=seconds)

    @property
    def schedule_words(self) -> str:
        return schedule.words(self.timetable, at=timezone.now())


class RunVersion(models.Model):
    """What a run was made of at some time; `failed_at` when it was given up, and why.

    `image_pin` means the very image that it runs, where that is another version's.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField(db_column="number")
    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    configuration = models.TextField()
    spec = models.JSONField()
    secrets = models.TextField()
    upload = models.ForeignKey(Upload, models.PROTECT, null=True, related_name="versions")
    upload_times = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    created_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=200, blank=True)
    failed_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    last_lines = models.JSONField(default=list)
    image_pin = models.CharField(max_length=600, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "version"], name="one_version_per_number")
        ]

    def __str__(self) -> str:
        return f"version {self.version}"


class Replica(Stateful):
    """One of a run's copies. `num` is the lowest that was free.

    `attempt` counts earlier replicas of this number that ended badly; `not_before` is the end of
    the backoff. `instance` and `workload` are where it runs; what must outlive them (address,
    price, last lines) is kept here. `placed_why` says why it is not on the cheapest offer. `tried`
    are the offers that it could not get (`placement_attempts.Attempt`), `unanswered` its last
    requests that it gave no answer (`last_requests.Request`).
    """

    state_machine = states.REPLICA

    run = models.ForeignKey(Run, models.CASCADE, related_name="replicas")
    num = models.PositiveIntegerField()
    version = models.PositiveIntegerField(default=1, db_column="deployment")
    attempt = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    instance = models.ForeignKey(Instance, models.SET_NULL, null=True, related_name="replicas")
    workload = models.OneToOneField(Workload, models.SET_NULL, null=True, related_name="replica")
    backend = models.CharField(max_length=32, blank=True)
    region = models.CharField(max_length=64, blank=True)
    instance_type = models.CharField(max_length=100, blank=True)
    resources = models.CharField(max_length=200, blank=True)
    spot = models.BooleanField(default=False)
    placed_why = models.CharField(max_length=300, blank=True, default="", db_default="")
    price_usd_per_hour = models.DecimalField(max_digits=10, decimal_places=4, default=0)
    address = models.CharField(max_length=300, blank=True)
    phase = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    drained_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    exit_reason = models.CharField(max_length=32, blank=True)
    message = models.TextField(blank=True)
    last_lines = models.JSONField(default=list)
    tried = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    unanswered = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))

    class Meta:
        constraints = [
            # A replica that drains keeps its number until it is gone, so its successor takes
            # another; two live replicas never have the same one.
            models.UniqueConstraint(
                fields=["run", "num"],
                condition=~models.Q(state__in=["stopped", "failed"]),
                name="one_live_replica_per_num",
            )
        ]
        indexes = [
            models.Index(fields=["next_check_at"], name="replica_due"),
            models.Index(
                fields=["not_before"],
                condition=models.Q(state="pending", not_before__isnull=False),
                name="replica_waits_for_a_place",
            ),
            models.Index(fields=["run", "-id"]),
        ]

    def __str__(self) -> str:
        return f"replica {self.num}"

    @property
    def last_words(self) -> list[str]:
        """What it wrote last. A replica that we give up ends before its process does, which says
        its last lines only then."""
        lines: list[str] = self.last_lines
        if not lines and self.is_final and self.workload is not None:
            lines = self.workload.last_lines
        return lines

    @property
    def silence(self) -> str:
        """Why there are no last lines, in words."""
        if self.started_at is None:
            return "It was never started."
        heard = self.workload is not None and self.workload.state == instance_states.EXITED
        if heard and self.exit_reason != wire.REASON_HOST_STOPPED:
            return "It wrote nothing."
        return "Its last lines are not known here: see the log for what it wrote."

    @property
    def event_scope(self) -> tuple[None, UUID, str]:
        return None, self.run_id, f"replica {self.num}"
