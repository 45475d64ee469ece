"""Gateways: where services are published."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from apps.accounts.models import Project


class Gateway(models.Model):
    """A data plane. `projects` may publish there; `preset` ones serve each new project too.

    `revision` is the version of the newest entry of its table, `applied` the version that the
    gateway says is in force; `draining` counts the requests on replicas that left the table.
    """

    name = models.CharField(max_length=50, unique=True)
    domain = models.CharField(max_length=253)
    scheme = models.CharField(max_length=5, default="http")
    port = models.PositiveIntegerField(null=True)
    address = models.CharField(max_length=253, blank=True)
    backend = models.CharField(max_length=32, default="local")
    region = models.CharField(max_length=64, default="local")
    preset = models.BooleanField(default=False)
    projects = models.ManyToManyField(Project, related_name="gateways", through="Publication")
    token_hash = models.CharField(max_length=64, unique=True)
    own_hosts = ArrayField(models.CharField(max_length=253), default=list, blank=True)
    revision = models.PositiveBigIntegerField(default=0)
    applied = models.PositiveBigIntegerField(default=0)
    draining = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    reported_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name

    @property
    def origin_suffix(self) -> str:
        """`.localhost:8080` of `http://hello.localhost:8080`."""
        standard = {"http": 80, "https": 443}[self.scheme]
        port = "" if self.port in (None, standard) else f":{self.port}"
        return f"{self.domain}{port}"


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
