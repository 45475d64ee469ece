"""The table that the control plane gives, merged from its answers. Pure.

What is kept is a whole Table without tombstones, so that it is also what lies on disk.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol, TypeVar

from pydantic import ValidationError

from gateway.errors import BadTable
from gateway.schema import Endpoint, Table

EMPTY = Table(version=0, whole=True, gateway="none")


class Entry(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def deleted(self) -> bool: ...


E = TypeVar("E", bound=Entry)


def parse(text: bytes | str) -> Table:
    """Read a table; raises BadTable naming the first thing that is wrong."""
    try:
        table = Table.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the table"
        raise BadTable(f"the table is refused: {where}: {first['msg'].lower()}") from None
    for endpoint in table.endpoints:
        check_addresses(endpoint)
    return table


def check_addresses(endpoint: Endpoint) -> None:
    for replica in endpoint.replicas:
        host, _, port = replica.address.rpartition(":")
        try:
            ip_address(host)
        except ValueError:
            raise BadTable(f"the table is refused: {replica.address} has no IP address") from None
        if not 1 <= int(port) <= 65535:
            raise BadTable(f"the table is refused: {replica.address} has no port from 1 to 65535")


def merge(*, known: Table, update: Table) -> Table:
    """Return the whole table after `update`, without tombstones.

    A whole update replaces what is known; in a partial one an entry that is older than the known
    one is passed over, so an answer that comes late or twice changes nothing.
    """
    if update.whole:
        known = EMPTY
    return update.model_copy(
        update={
            "version": max(known.version, update.version),
            "whole": True,
            "endpoints": newest(known.endpoints, update.endpoints),
            "keys": newest(known.keys, update.keys),
            "certificates": newest(known.certificates, update.certificates),
            "tunnels": newest(known.tunnels, update.tunnels),
        }
    )


def newest(known: list[E], changed: list[E]) -> list[E]:
    if not changed:
        # The same list says to others that nothing in it is new.
        return known
    entries = {entry.id: entry for entry in known}
    for entry in changed:
        old = entries.get(entry.id)
        if old is None or old.version <= entry.version:
            entries[entry.id] = entry
    return [entry for entry in entries.values() if not entry.deleted]
