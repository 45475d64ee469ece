"""Certificates in the table: an entry says that there is one, and nothing secret.

The private key is decrypted only when an answer to the gateway is built.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from apps.core import crypto
from apps.gateways.models import Certificate, Gateway
from apps.routing.models import Entry
from gateway import schema

logger = logging.getLogger(__name__)

KIND = "cert"


def wanted(gateway_id: int) -> dict[str, dict[str, Any]]:
    """Return the entries that a gateway's table should have."""
    found = Certificate.objects.filter(gateway_id=gateway_id)
    return {
        str(pk): {"hosts": hosts, "expires_at": until.timestamp()}
        for pk, hosts, until in found.values_list("pk", "hosts", "not_after")
    }


def entries_of(*, gateway: Gateway, entries: Iterable[Entry]) -> list[schema.Certificate]:
    """Write entries as the gateway needs them, with their keys."""
    listed = [each for each in entries if each.kind == KIND]
    if not listed:
        return []
    live = [int(each.ref) for each in listed if not each.deleted]
    known = {str(each.pk): each for each in gateway.certificates.filter(pk__in=live)}
    found = (_readable(each, known.get(each.ref)) for each in listed)
    return [each for each in found if each is not None]


def _readable(entry: Entry, known: Certificate | None) -> schema.Certificate | None:
    """None where no key of this server fits: the gateway keeps what it has of it, and gets all
    other rows."""
    try:
        return _entry(entry, known)
    except crypto.InvalidToken:
        logger.warning("certificate %s: %s", entry.ref, crypto.NO_KEY_FITS)
        return None


def _entry(entry: Entry, known: Certificate | None) -> schema.Certificate:
    # One that was removed a moment ago has no tombstone yet.
    if known is None:
        return schema.Certificate(id=entry.ref, version=entry.version, deleted=True)
    return schema.Certificate(
        id=entry.ref,
        version=entry.version,
        chain=known.chain,
        key=crypto.decrypt(known.key),
        **entry.payload,
    )
