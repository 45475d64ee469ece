"""What a cloud rents, where, for how much, who said so when; and what a backend just refused."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.backends.models import Backend


class CatalogSource(models.Model):
    """Where prices come from. `digest` is that of the snapshot that was loaded last, empty for
    what a cloud's own call said; `priced_on` is the day of the prices."""

    key = models.CharField(max_length=32, primary_key=True)
    kind = models.CharField(max_length=32)
    words = models.CharField(max_length=200)
    priced_on = models.DateField()
    digest = models.CharField(max_length=64, blank=True)
    loaded_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key


class CatalogOffer(models.Model):
    """A machine that a cloud rents in a region.

    `gpu_memory_mib` is nominal and of each GPU; `zones` are the last letters of those that have it,
    empty where nobody said.
    """

    kind = models.CharField(max_length=32)
    region = models.CharField(max_length=64)
    zones = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    instance_type = models.CharField(max_length=100)
    cpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    arch = models.CharField(max_length=8)
    gpu_name = models.CharField(max_length=64, blank=True)
    gpu_count = models.PositiveSmallIntegerField(default=0)
    gpu_memory_mib = models.PositiveIntegerField(default=0)
    gpu_vendor = models.CharField(max_length=16, blank=True)
    spot = models.BooleanField(default=False)
    usd_per_hour = models.DecimalField(max_digits=12, decimal_places=6)
    source = models.ForeignKey(CatalogSource, models.CASCADE, related_name="offers")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "region", "instance_type", "spot"], name="one_price_per_offer"
            )
        ]
        indexes = [
            # The cheapest of a GPU by its memory or its name, and the cheapest of all.
            models.Index(
                fields=["gpu_memory_mib", "gpu_count", "usd_per_hour"],
                condition=Q(gpu_count__gt=0),
                name="catalog_gpu_memory",
            ),
            models.Index(
                fields=["gpu_name", "usd_per_hour"],
                condition=Q(gpu_count__gt=0),
                name="catalog_gpu_name",
            ),
            models.Index(
                fields=["usd_per_hour", "kind", "region", "instance_type"],
                include=["spot", "cpus", "memory_mib", "arch", "gpu_count"],
                name="catalog_price",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.region} {self.instance_type}"


class BlockedOffer(models.Model):
    """What a backend has refused, or taken back, and so is not asked for again until then.

    It holds for every offer that has all that is given here: "" is any region, zone, family or
    instance, null either of spot and on demand. `kind` is that of the error, `reason` a sentence.
    """

    backend = models.ForeignKey(Backend, models.CASCADE, related_name="blocked_offers")
    scope = models.CharField(max_length=16)
    region = models.CharField(max_length=64, blank=True)
    zone = models.CharField(max_length=64, blank=True)
    family = models.CharField(max_length=100, blank=True)
    instance_type = models.CharField(max_length=100, blank=True)
    spot = models.BooleanField(null=True)
    kind = models.CharField(max_length=16)
    reason = models.TextField()
    until = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["backend", "region", "zone", "family", "instance_type", "spot"],
                nulls_distinct=False,
                name="one_block_of_the_same",
            )
        ]

    def __str__(self) -> str:
        what = (self.region, self.zone, self.family, self.instance_type)
        return f"{self.backend}: {' '.join(filter(None, what)) or 'all'}"
