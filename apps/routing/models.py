"""The table of each gateway, entry by entry."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.gateways.models import Gateway
from apps.runs.models import Run

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


class SessionKey(models.Model):
    """What a session of the dashboard may call a service with.

    `session_key` and `password_stamp` are of that session: with it, or with the right to call the
    service, this ends too. `hash` is that of what is sent to the gateway.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=40)
    password_stamp = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, blank=True, default="")
    expires_at = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class BrowserSession(SessionKey):
    """A browser in which a member opened a service; only hashes of its secrets are stored.

    The ticket is good once, until `ticket_until`; `hash` is that of the cookie, empty until it was
    exchanged.
    """

    ticket_hash = models.CharField(max_length=64, unique=True)
    ticket_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user} opens {self.run}"


class ChatKey(SessionKey):
    """The key by which this server itself calls a model for a member who chats with it in the
    dashboard; `sealed` is the key, encrypted."""

    sealed = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "session_key"], name="one_chat_key_per_session")
        ]

    def __str__(self) -> str:
        return f"{self.user} chats with {self.run}"
