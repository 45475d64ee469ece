"""The table of each gateway, entry by entry."""

from __future__ import annotations

from django.db import models

from apps.gateways.models import Gateway

KINDS = [
    ("endpoint", "Endpoint"),
    ("key", "Key"),
    ("cert", "Certificate"),
    ("tunnel", "Tunnels of a machine"),
]


class Entry(models.Model):
    """One endpoint, key, certificate or machine with tunnels as the gateway knows it, without
    private keys; `version` is when it last changed.

    A `deleted` entry is a tombstone, so that a gateway that was away learns of it.
    """

    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=8, choices=KINDS)
    ref = models.CharField(max_length=64)
    version = models.PositiveBigIntegerField()
    deleted = models.BooleanField(default=False)
    payload = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "kind", "ref"], name="one_entry_per_ref")
        ]
        indexes = [models.Index(fields=["gateway", "version"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.ref} v{self.version}"
