"""Certificates in the table: an entry says that there is one, and nothing secret.

The private key is decrypted only when an answer to the gateway is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.core import crypto
from apps.gateways.models import Certificate, Gateway
from apps.routing.models import Entry
from gateway import schema

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
    return [_entry(each, known.get(each.ref)) for each in listed]


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
