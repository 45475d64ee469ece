"""The verbs of certificates that somebody brought."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.core import crypto, notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, NotFound
from apps.gateways import pem
from apps.gateways.models import Certificate, Gateway


def bring(*, gateway: Gateway, chain: str, key: str, actor: str, at: datetime) -> Certificate:
    """Have a gateway serve with a certificate. Raise Invalid, Conflict."""
    found = pem.read(chain=chain, key=key, domain=gateway.domain, at=at)
    with transaction.atomic():
        made, is_new = Certificate.objects.get_or_create(
            gateway=gateway,
            fingerprint=found.fingerprint,
            defaults={
                "hosts": list(found.hosts),
                "issuer": found.issuer,
                "not_before": found.not_before,
                "not_after": found.not_after,
                "chain": found.chain,
                "key": crypto.encrypt(found.key),
                "brought_by": actor,
                "created_at": at,
            },
        )
        if not is_new:
            raise Conflict("This gateway has this certificate already.")
        _tell()
    return made


def remove(*, gateway: Gateway, pk: int) -> Certificate:
    """Have a gateway forget a certificate. Raise NotFound."""
    with transaction.atomic():
        found = gateway.certificates.filter(pk=pk).first()
        if found is None:
            raise NotFound(f"Gateway {gateway.name} has no certificate {pk}.")
        found.delete()
        _tell()
    return found


def _tell() -> None:
    after_commit(notifications.transitioned, "certificate", "changed", [])
