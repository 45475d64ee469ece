"""Own hosts, and the keys that the server made for their projects."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models

from apps.accounts.models import Project
from apps.core.models import Stateful
from apps.hosts import states
from apps.instances.models import Instance


class Host(Stateful):
    """A machine of a person's, reached at `user`@`address`:`port`, through `jump` where given.

    `key` is the private key that was given, encrypted; empty is the project's own. `known_hosts`
    pins the keys of the host and of its jump host as OpenSSH writes them, since the first contact;
    `fingerprint` is that of the host for people. `offered_known_hosts` has another key, which was
    shown instead and waits for a person to accept it by its `offered_fingerprint`. `progress` has
    the steps of what is done now ({"name", "ok", "text"}), `facts` what the last check found.
    `left_over` says what a removal had to leave there.
    """

    state_machine = states.HOST

    project = models.ForeignKey(Project, models.CASCADE, related_name="hosts")
    instance = models.ForeignKey(
        Instance, models.SET_NULL, null=True, blank=True, related_name="hosts"
    )
    name = models.CharField(max_length=50)
    user = models.CharField(max_length=32)
    address = models.CharField(max_length=253)
    port = models.PositiveIntegerField(default=22)
    jump = models.CharField(max_length=300, blank=True)
    key = models.TextField(blank=True)
    known_hosts = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=100, blank=True)
    offered_known_hosts = models.TextField(blank=True, default="", db_default="")
    offered_fingerprint = models.CharField(max_length=100, blank=True, default="", db_default="")
    price_usd_per_hour = models.DecimalField(max_digits=10, decimal_places=4, default=0)
    progress = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    left_over = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"],
                condition=~models.Q(state="removed"),
                name="one_host_of_a_name",
            ),
            models.UniqueConstraint(
                fields=["project", "address", "port"],
                condition=~models.Q(state="removed"),
                name="one_host_of_an_address",
            ),
        ]
        indexes = [models.Index(fields=["next_check_at"], name="host_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def event_scope(self) -> tuple[int | None, UUID | None, str]:
        return self.project_id, None, self.name

    @property
    def at(self) -> str:
        """How a person writes where it is."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        port = "" if self.port == 22 else f":{self.port}"
        return f"{self.user}@{address}{port}"

    def fact(self, name: str, default: Any = None) -> Any:
        return self.facts.get(name, default)


class ProjectKey(models.Model):
    """The pair that the server made for a project: people paste `public` at their hosts."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="host_key")
    private = models.TextField()
    public = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"key of {self.project}"
