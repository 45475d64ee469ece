"""People, projects and tokens.

A token belongs to a user and opens what the user may see, or one project of it; a service key
(kind `s`) calls the named runs of one project and nothing else. Only hashes are stored.
"""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

NAME = RegexValidator(
    r"\A[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?\Z",
    "Use 1 to 50 lower-case letters, digits and hyphens, with a letter or digit at both ends.",
)


class User(AbstractUser):
    """A person. `is_superuser` marks a global admin, who sees and may do everything.

    Names differ in more than case: `Alice` beside `alice` would be a trap. `last_project` is the
    one whose pages they saw last; they may have left it, and it may be deleted since.
    """

    last_project = models.ForeignKey(
        "Project", models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta(AbstractUser.Meta):
        abstract = False
        constraints = [
            models.UniqueConstraint(Lower("username"), name="one_user_per_name_in_any_case")
        ]


class Project(models.Model):
    """`replicas_limit` null: the server's (DSTACK_REPLICAS_LIMIT). `max_instances` and
    `max_usd_per_hour` bound the machines that are made for it at a time, `budget_usd_per_month`
    what it spends in a month (UTC), of which `budget_warn_percent` are worth a word; null: nothing
    does. One that was deleted stays as a row, since what it ran names it; its name is free and
    nobody sees it any more."""

    name = models.CharField(max_length=50, unique=True, validators=[NAME])
    created_at = models.DateTimeField(default=timezone.now)
    members = models.ManyToManyField(User, through="Member", related_name="projects")
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="projects_made"
    )
    replicas_limit = models.PositiveIntegerField(null=True, blank=True)
    max_instances = models.PositiveIntegerField(null=True, blank=True)
    max_usd_per_hour = models.DecimalField(max_digits=10, decimal_places=4, null=True, blank=True)
    budget_usd_per_month = models.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True
    )
    budget_warn_percent = models.PositiveSmallIntegerField(default=80, db_default=80)
    deleted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    USER = "user", "User"


class Member(models.Model):
    project = models.ForeignKey(Project, models.CASCADE)
    user = models.ForeignKey(User, models.CASCADE)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.USER)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_project")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project} ({self.role})"


class Token(models.Model):
    """`project` null: all projects of the user. `run_names` not empty: a service key.

    `rps` bounds what it may ask of all services together each second, with `burst` more at once;
    null: no bound.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True)
    name = models.CharField(max_length=100)
    scope = models.CharField(
        max_length=8, choices=[("full", "Full"), ("call", "Call services")], default="full"
    )
    run_names = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    rps = models.FloatField(null=True, blank=True)
    burst = models.PositiveIntegerField(default=0, db_default=0)
    prefix = models.CharField(max_length=16)
    hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["user", "-id"])]
        constraints = [
            models.CheckConstraint(condition=models.Q(rps__gt=0), name="token_rate_above_zero")
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"
