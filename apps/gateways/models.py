"""Gateways: where services are published."""

from __future__ import annotations

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends.models import Backend
from apps.core import ids
from apps.core.models import Stateful
from apps.gateways import states
from apps.instances.models import Instance


class Gateway(Stateful):
    """A data plane, here or on a machine of its own (`instance`, which may be another tomorrow).

    `connection` is the backend that has that machine, None for gateways that stand on none, whose
    state is "running" for good; `uid` is what events, charges and workloads call it. `reserved` is
    its static address as its provider knows it (see `backends.base.Address`); `made_for` is the
    project whose money it costs; `tried` are the offers that could not be had since it last had a
    machine, `failure` why there is none; `version` is that of the wheel that
    runs there. `dns_answer` is what a resolver said of a name below its domain at `dns_asked_at`.
    Where a person asked for it (`makes_records`), this server makes its records by the backend
    `dns_connection`: `dns_records` are those that it made ({"zone", "name", "type", "value",
    "is_made"}), `dns_error` says why not. `solves_dns` is what the gateway is told: that we
    write answers to challenges for it. `projects` may publish there; `preset` ones serve each
    new project too.

    `revision` is the version of the newest entry of its table, `applied` the version that the
    gateway says is in force; tombstones up to version `pruned` are gone, so that whoever knows an
    older version gets the whole table; `draining` counts the requests on replicas that left it.
    `plain_port` is where it serves without TLS when `scheme` is https; `secured` says of each host
    how it stands with its certificate (see `CertificateState` of the gateway's schema). Machines
    open tunnels to it at `address` and `tunnel_port` as `tunnel_user`, and know it by
    `tunnel_host_key`, once it has said so. `relay_keys` is encrypted: the keys by which its machine
    and a server that nobody can call know each other.
    """

    state_machine = states.GATEWAY

    id = models.BigAutoField(primary_key=True)  # type: ignore[assignment]
    uid = models.UUIDField(default=ids.new_id, db_default=RandomUUID(), unique=True, editable=False)
    state = models.CharField(max_length=16, default=states.RUNNING, db_default=states.RUNNING)
    state_version = models.PositiveIntegerField(default=0, db_default=0)
    state_at = models.DateTimeField(default=timezone.now, db_default=Now())
    next_check_at = models.DateTimeField(null=True)
    connection = models.ForeignKey(
        Backend, models.PROTECT, null=True, blank=True, related_name="gateways"
    )
    instance = models.ForeignKey(
        Instance, models.SET_NULL, null=True, blank=True, related_name="gateways"
    )
    made_for = models.ForeignKey(
        Project, models.PROTECT, null=True, blank=True, related_name="own_gateways"
    )
    reserved = models.JSONField(
        default=dict, blank=True, db_default=models.Value({}, models.JSONField())
    )
    tried = models.JSONField(
        default=list, blank=True, db_default=models.Value([], models.JSONField())
    )
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    failure = models.TextField(blank=True, default="", db_default="")
    version = models.CharField(max_length=64, blank=True, default="", db_default="")
    dns_answer = models.CharField(max_length=300, blank=True, default="", db_default="")
    dns_asked_at = models.DateTimeField(null=True)
    dns_connection = models.ForeignKey(
        Backend, models.SET_NULL, null=True, blank=True, related_name="named_gateways"
    )
    makes_records = models.BooleanField(default=False, db_default=False)
    dns_records = models.JSONField(
        default=list, blank=True, db_default=models.Value([], models.JSONField())
    )
    dns_error = models.TextField(blank=True, default="", db_default="")
    solves_dns = models.BooleanField(default=False, db_default=False)
    name = models.CharField(max_length=50, unique=True)
    domain = models.CharField(max_length=253)
    scheme = models.CharField(max_length=5, default="http")
    port = models.PositiveIntegerField(null=True)
    plain_port = models.PositiveIntegerField(null=True)
    address = models.CharField(max_length=253, blank=True)
    backend = models.CharField(max_length=32, default="local")
    region = models.CharField(max_length=64, default="local")
    preset = models.BooleanField(default=False)
    projects = models.ManyToManyField(Project, related_name="gateways", through="Publication")
    token_hash = models.CharField(max_length=64, unique=True)
    own_hosts = ArrayField(models.CharField(max_length=253), default=list, blank=True)
    tunnel_port = models.PositiveIntegerField(null=True)
    tunnel_user = models.CharField(max_length=32, blank=True, default="", db_default="")
    tunnel_host_key = models.CharField(max_length=100, blank=True, default="", db_default="")
    relay_keys = models.TextField(blank=True, default="", db_default="")
    revision = models.PositiveBigIntegerField(default=0)
    applied = models.PositiveBigIntegerField(default=0)
    pruned = models.PositiveBigIntegerField(default=0, db_default=0)
    draining = models.JSONField(default=dict)
    secured = models.JSONField(default=list)
    error = models.TextField(blank=True)
    reported_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name

    @property
    def event_object(self) -> UUID:
        return self.uid

    @property
    def event_scope(self) -> tuple[int | None, UUID | None, str]:
        """Its project is the one that it was made for: others may publish on it, and see no more
        of it than that."""
        return self.made_for_id, None, self.name

    @property
    def origin_suffix(self) -> str:
        """`localhost:8080` of `http://hello.localhost:8080`."""
        return f"{self.domain}{port_suffix(self.scheme, self.port)}"

    def origin(self, host: str, *, https: bool | str) -> str:
        """Return where a host is served; `https` is the key of the spec."""
        if self.scheme == "http" or https is True or (https and self.is_secured(host)):
            return f"{self.scheme}://{host}{port_suffix(self.scheme, self.port)}"
        return f"http://{host}{port_suffix('http', self.plain_port)}"

    @property
    def tunnel_host(self) -> str:
        """Where machines open tunnels to it."""
        return self.address or self.domain

    def is_on_host_of(self, backend_kind: str) -> bool:
        """Tell whether it stands on the very machine of a backend, and so may dial what that one's
        agent says: the server's own machine, and the gateway that the server starts there."""
        return self.connection_id is None and self.backend == backend_kind == "local"

    def is_secured(self, host: str) -> bool:
        """Tell whether the gateway has a good certificate for a host."""
        return any(each["host"] == host and each["state"] == states.VALID for each in self.secured)


def port_suffix(scheme: str, port: int | None) -> str:
    standard = {"http": 80, "https": 443}[scheme]
    return "" if port in (None, standard) else f":{port}"


class Certificate(models.Model):
    """A certificate that somebody brought: `chain` is PEM, `key` PEM and encrypted.

    `hosts` are the names below the gateway's domain that it is good for.
    """

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="certificates")
    hosts = ArrayField(models.CharField(max_length=253))
    issuer = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    chain = models.TextField()
    key = models.TextField()
    brought_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "fingerprint"], name="one_certificate")
        ]

    def __str__(self) -> str:
        return ", ".join(self.hosts)


class DnsAnswer(models.Model):
    """What a gateway on a machine has this server write into the DNS, as an authority wants to see
    it for a certificate: the TXT record `name` holds `value`. `change` is what its provider calls
    the change, `asked_at` is when it was made; `is_wanted` is False once it may go."""

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="dns_answers")
    name = models.CharField(max_length=253)
    value = models.CharField(max_length=64)
    is_wanted = models.BooleanField(default=True)
    is_there = models.BooleanField(default=False)
    change = models.CharField(max_length=100, blank=True, default="")
    asked_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "name", "value"], name="one_dns_answer")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.gateway_id}"


class DnsTurn(models.Model):
    """That somebody changes the record `name` now: `holder` alone does, up to `until`."""

    name = models.CharField(max_length=253, primary_key=True)
    holder = models.UUIDField(null=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Publication(models.Model):
    """A project may publish on a gateway; one of its gateways is the default."""

    project = models.ForeignKey(Project, models.CASCADE)
    gateway = models.ForeignKey(Gateway, models.CASCADE)
    is_default = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "gateway"], name="one_publication"),
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(is_default=True),
                name="one_default_gateway_per_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project} on {self.gateway}"
