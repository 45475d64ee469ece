"""Machines, and what each must run."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.accounts.models import Project
from apps.backends.models import Backend
from apps.core.models import Stateful
from apps.instances import states

BOOT_NAME = "dstack-"


class Instance(Stateful):
    """A machine with our agent.

    `offer` is the offer it was made from, as JSON, `ref` what its provider calls it. `running_at`
    is when the backend first said that it runs, `boot_error` why it never called, `console_tail`
    the end of its console, where the backend told it. `boot_step` is what it said before it had an
    agent. It is kept `idle_seconds` without work, for
    ever where that is None. Until `charged_until` its time is booked (see `Charge`). `revision`
    counts the changes of what should be on it; the agent's long poll waits for it to move. `token`
    is encrypted, because a boot that is repeated must carry the same one: the agent's token where
    the machine was there before us, else its enrolment, for which the agent gives the hash of a
    token of its own and its public key once (`enrolled_at`).
    Where the server cannot be called, it calls it through the gateway `home`.
    `caches` are the model files that it keeps for projects, as its agent told last, and
    `caches_to_clear` the ids of those to remove.
    `hardware` is what the agent of a standing machine last said that it has.
    `interrupted_at` is when the cloud said that it takes it back, or did so without a word, and
    `ends_at` when it ends by that. `tags` are of the service that it was made for.
    """

    state_machine = states.INSTANCE
    # What it cost so far, where a view has asked for it.
    cost_usd: Decimal | None = None

    project = models.ForeignKey(Project, models.PROTECT, related_name="instances")
    backend = models.ForeignKey(
        Backend, models.PROTECT, related_name="instances", db_column="account_id"
    )
    name = models.CharField(max_length=100)
    backend_kind = models.CharField(max_length=32, db_column="backend")
    region = models.CharField(max_length=64)
    instance_type = models.CharField(max_length=100)
    offer = models.JSONField()
    price_usd_per_hour = models.DecimalField(max_digits=10, decimal_places=4, default=0)
    shared = models.BooleanField(default=False)
    ref = models.TextField(blank=True)
    hardware = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    token = models.TextField()
    token_hash = models.CharField(max_length=64, unique=True)
    enrolment_hash = models.CharField(max_length=64, blank=True, default="", db_default="")
    enrolled_at = models.DateTimeField(null=True)
    public_key = models.CharField(max_length=200, blank=True, default="", db_default="")
    revision = models.PositiveBigIntegerField(default=1)
    hostname = models.CharField(max_length=255, blank=True)
    agent_version = models.CharField(max_length=50, blank=True)
    boot_id = models.CharField(max_length=100, blank=True)
    isolation = models.CharField(max_length=16, blank=True, default="", db_default="")
    isolation_note = models.TextField(blank=True, default="", db_default="")
    reported_at = models.DateTimeField(null=True)
    running_at = models.DateTimeField(null=True)
    tags = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    zone = models.CharField(max_length=64, blank=True, default="", db_default="")
    interrupted_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    boot_step = models.CharField(max_length=100, blank=True, default="", db_default="")
    boot_step_at = models.DateTimeField(null=True)
    boot_error = models.TextField(blank=True, default="", db_default="")
    console_tail = models.TextField(blank=True, default="", db_default="")
    idle_since = models.DateTimeField(null=True)
    idle_seconds = models.PositiveIntegerField(null=True, default=300, db_default=300)
    charged_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    caches = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    caches_to_clear = models.JSONField(
        default=list, db_default=models.Value([], models.JSONField())
    )
    home = models.ForeignKey(
        "gateways.Gateway", models.SET_NULL, null=True, blank=True, related_name="callers"
    )

    class Meta:
        constraints = [
            # A shared host is one instance, however many replicas ask for it at once; hosts of the
            # same name in two backends are two, each with an agent of its own.
            models.UniqueConstraint(
                fields=["backend", "name"],
                condition=models.Q(shared=True) & ~models.Q(state__in=["terminated", "failed"]),
                name="one_live_instance_per_host",
            ),
            # The server's own machine is one for all projects that it was opened for.
            models.UniqueConstraint(
                fields=["backend_kind", "name"],
                condition=models.Q(shared=True, backend_kind="local")
                & ~models.Q(state__in=["terminated", "failed"]),
                name="one_live_instance_of_this_machine",
            ),
            models.UniqueConstraint(
                fields=["enrolment_hash"],
                condition=~models.Q(enrolment_hash=""),
                name="one_instance_per_enrolment",
            ),
            # The gateway tells machines by their keys: one key has the ports of one machine.
            models.UniqueConstraint(
                fields=["public_key"],
                condition=~models.Q(public_key="") & ~models.Q(state__in=["terminated", "failed"]),
                name="one_live_instance_per_key",
            ),
        ]
        indexes = [
            models.Index(fields=["next_check_at"], name="instance_due"),
            models.Index(fields=["project", "-id"]),
            models.Index(
                fields=["ends_at"],
                condition=models.Q(ends_at__isnull=False)
                & ~models.Q(state__in=["terminated", "failed"]),
                name="instance_taken_back",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def boot_name(self) -> str:
        """Return the name under which its backend makes the machine."""
        return f"{BOOT_NAME}{self.pk}"

    @property
    def is_spot(self) -> bool:
        return bool(self.offer.get("spot"))

    @property
    def event_scope(self) -> tuple[int, UUID | None, str]:
        return self.project_id, None, self.name


class FormerAgent(models.Model):
    """An agent on a machine of a person's that could not be taken off it: when it calls with its
    token, or its enrolment, it is told that it is over. `told_at` is when it was.

    It outlives its project, and its instance.
    """

    instance_id = models.UUIDField(unique=True)
    token_hash = models.CharField(max_length=64, unique=True)
    enrolment_hash = models.CharField(max_length=64, blank=True, db_index=True)
    ended_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"agent of {self.instance_id}"


REPLICA, GATEWAY = "replica", "gateway"


class Workload(Stateful):
    """One replica's process or container on one instance, or a gateway. `owner_kind` says which;
    `owner_id` is the owner's, and `run_id` that of the replica's run or, again, of the gateway.

    `spec` is what the agent must run but for its secrets (encrypted: {"env": {...},
    "registry_password": ...}). `desired` is "run" or "stop". `ready` is None before the first probe
    result. `image_pin` means the very image that it runs (see the wire).
    """

    state_machine = states.WORKLOAD

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="workloads")
    run_id = models.UUIDField()
    owner_id = models.UUIDField(null=True)
    owner_kind = models.CharField(max_length=16, default=REPLICA, db_default=REPLICA)
    name = models.CharField(max_length=100)
    spec = models.JSONField()
    secrets = models.TextField()
    upload_hash = models.CharField(max_length=64, blank=True)
    upload_blob = models.CharField(max_length=200, blank=True)
    desired = models.CharField(max_length=4, default="run")
    gpu_indices = ArrayField(models.PositiveSmallIntegerField(), default=list, blank=True)
    ready = models.BooleanField(null=True)
    phase = models.CharField(max_length=200, blank=True)
    probe_message = models.TextField(blank=True)
    image_pin = models.CharField(max_length=600, blank=True, default="", db_default="")
    address = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    exited_at = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    exit_reason = models.CharField(max_length=32, blank=True)
    message = models.TextField(blank=True)
    last_lines = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["instance", "state"])]

    def __str__(self) -> str:
        return self.name

    @property
    def event_scope(self) -> tuple[int | None, UUID | None, str]:
        return None, self.run_id, self.name

    @property
    def is_unreached(self) -> bool:
        """Whether it is ready, and its gateway does not reach it by its tunnel yet."""
        found: Tunnel | None = getattr(self, "tunnel", None)
        waits = found is not None and found.freed_at is None and found.reached_at is None
        return bool(self.ready) and waits

    @property
    def cut_at(self) -> datetime | None:
        """Since when its gateway, which reached it by its tunnel, does not; None where it does."""
        found: Tunnel | None = getattr(self, "tunnel", None)
        return found.cut_at if found is not None and found.freed_at is None else None

    def as_json(self) -> dict[str, Any]:
        return {"id": str(self.pk), "name": self.name, "desired": self.desired, **self.spec}


class Charge(models.Model):
    """The time that a machine was had on a day, by one of a run's replicas (`owner_id`) or, with
    `idle`, by none after it was that run's; with its price.

    It outlives the machine, the run and the replica, whose names it keeps therefore.
    """

    project = models.ForeignKey(Project, models.PROTECT, related_name="charges")
    instance_id = models.UUIDField()
    instance_name = models.CharField(max_length=100)
    backend = models.CharField(max_length=100)
    region = models.CharField(max_length=64)
    instance_type = models.CharField(max_length=100)
    day = models.DateField()
    run_id = models.UUIDField(null=True)
    run_name = models.CharField(max_length=100, blank=True)
    owner_id = models.UUIDField(null=True)
    idle = models.BooleanField(default=False)
    price_usd_per_hour = models.DecimalField(max_digits=10, decimal_places=4)
    microseconds = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instance_id", "day", "run_id", "owner_id", "idle"],
                nulls_distinct=False,
                name="one_charge_per_share_of_a_day",
            )
        ]
        indexes = [
            models.Index(fields=["project", "day"]),
            models.Index(fields=["run_id"]),
            models.Index(fields=["owner_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.instance_name} on {self.day}"


class Tunnel(models.Model):
    """A port of a gateway's own loopback that leads to a workload: the gateway dials this, never
    what an agent says.

    `reached_at` is when the gateway first found somebody there, `cut_at` since when there is nobody
    any more, None while there is. A row that was `freed_at` keeps its
    port for a while, until whoever had it is surely off.
    """

    gateway = models.ForeignKey("gateways.Gateway", models.CASCADE, related_name="tunnels")
    port = models.PositiveIntegerField()
    workload = models.OneToOneField(Workload, models.CASCADE, related_name="tunnel")
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="tunnels")
    reached_at = models.DateTimeField(null=True)
    cut_at = models.DateTimeField(null=True)
    freed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "port"], name="one_tunnel_per_port")
        ]

    def __str__(self) -> str:
        return f"{self.gateway_id}:{self.port}"

    @property
    def address(self) -> str:
        """Where the gateway dials the workload."""
        return f"127.0.0.1:{self.port}"


class UnknownMachine(models.Model):
    """A machine that carries this server's id and is no instance's: its backend told of it first at
    `first_seen_at`. The row goes when the backend tells of it no more.

    `name` is that of its boot, "" where it is none that this server gives; `ref_hash` is of `ref`,
    which may be of any length. `error` is what came of the last try to end it.
    """

    backend = models.ForeignKey(Backend, models.CASCADE, related_name="unknown_machines")
    ref = models.TextField()
    ref_hash = models.CharField(max_length=64)
    name = models.CharField(max_length=100, blank=True)
    tags = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["backend", "ref_hash"], name="one_row_per_machine")
        ]

    def __str__(self) -> str:
        return self.name or self.ref[:100]
