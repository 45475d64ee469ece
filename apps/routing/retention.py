"""What is kept of the tables of gateways and of services opened in browsers."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from apps.core import retention
from apps.gateways.models import Gateway
from apps.routing.models import BrowserSession, ChatKey, Entry


def prune(*, at: datetime) -> int:
    """Forget tombstones that their gateway has applied, however old they are, and sessions of
    browsers that are over.

    Return the number of rows; two at once are harmless.
    """
    unused = Q(hash="", ticket_until__lte=at)
    over = retention.delete(BrowserSession.objects.filter(unused | Q(expires_at__lte=at)))
    over += retention.delete(ChatKey.objects.filter(expires_at__lte=at))
    return over + sum(_prune_tombstones(pk) for pk in Gateway.objects.values_list("pk", flat=True))


def _prune_tombstones(gateway_id: int) -> int:
    """A gateway that comes back with an older table than this leaves gets all of it anew."""
    with transaction.atomic():
        gateway = Gateway.objects.select_for_update().get(pk=gateway_id)
        known = min(gateway.applied, gateway.revision)
        applied = Entry.objects.filter(gateway=gateway, deleted=True, version__lte=known)
        gone, _ = applied.delete()
        if gone:
            gateway.pruned = max(gateway.pruned, known)
            gateway.save(update_fields=["pruned"])
    return gone
