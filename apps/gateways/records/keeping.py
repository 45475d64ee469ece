"""Records of the DNS that this server makes for a gateway: those that lead to it, and the answers
that an authority wants to see for a wildcard certificate. The machine has no keys of the DNS.

Each record is noted before it is made, and only what was made here is changed or taken away. One
writer at a time changes a record; what somebody else of its zone wrote over is written again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.backends.base import ErrorKind, Provider, ProviderError, Scope
from apps.backends.dns.port import ManagesDns
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Conflict, Invalid
from apps.gateways import states
from apps.gateways.models import DnsAnswer, Gateway
from apps.gateways.records import hook, resolving, turns
from apps.instances import calls

Answer = TypeVar("Answer")

CHALLENGE, TXT = "_acme-challenge.", "TXT"
VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
MOST_ANSWERS, MOST_CHARACTERS = 10, 500
SOON = timedelta(seconds=3)


class Taken(Exception):
    """Somebody else has the record."""


def solves(gateway: Gateway) -> bool:
    """Tell whether this server writes answers into the DNS for a gateway on a machine."""
    if gateway.connection_id is None:
        return False
    return gateway.makes_records or hook.is_set()


def ask(*, gateway: Gateway, name: str, value: str, is_wanted: bool) -> DnsAnswer | None:
    """Note what a gateway wants written or taken away; return how that stands. Raise Invalid and
    Conflict."""
    if name != f"{CHALLENGE}{gateway.domain}" or not VALUE.fullmatch(value):
        raise Invalid("That is no answer to a challenge for the domain of this gateway.")
    if not is_wanted:
        if gateway.dns_answers.filter(name=name, value=value).update(is_wanted=False):
            wake(gateway)
        return None
    if not solves(gateway):
        raise Conflict("This server writes no records for this gateway.")
    found = gateway.dns_answers.filter(name=name, value=value).first()
    if found is None:
        if gateway.dns_answers.count() >= MOST_ANSWERS:
            raise Conflict("Too many answers of this gateway are written already.")
        found, _ = DnsAnswer.objects.get_or_create(gateway=gateway, name=name, value=value)
        wake(gateway)
    return found


def wake(gateway: Gateway) -> None:
    """Have its records looked at soon."""
    ids: list[Any] = [gateway.pk]
    after_commit(notifications.transitioned, "gateway", "asked", ids)


def keep(gateway: Gateway, *, at: datetime) -> datetime | None:
    """Bring the records in line with what is wanted; return when to look again."""
    _tell(gateway)
    said = ""
    try:
        _keep_addresses(gateway)
    except (ProviderError, Taken) as error:
        said = str(error)[:MOST_CHARACTERS]
    if said != gateway.dns_error:
        gateway.dns_error = said
        Gateway.objects.filter(pk=gateway.pk).update(dns_error=said)
    return at + SOON if _keep_answers(gateway) else None


def _tell(gateway: Gateway) -> None:
    """Tell a gateway whether answers are written for it, with the next version of its table."""
    if gateway.solves_dns == solves(gateway):
        return
    gateway.solves_dns = solves(gateway)
    row = Gateway.objects.filter(pk=gateway.pk)
    with transaction.atomic():
        row.update(solves_dns=gateway.solves_dns, revision=F("revision") + 1)
        after_commit(notifications.publish, f"gateway:{gateway.pk}")


def forget(gateway: Gateway) -> None:
    """Take away all that was made for a gateway that is being deleted. It may be called again:
    what is gone is not asked for any more. Raise ProviderError for what cannot be taken away."""
    gateway.dns_answers.update(is_wanted=False)
    try:
        _bring_answers(gateway)
        for row in list(gateway.dns_records):
            _take_away(gateway, row)
            _note(gateway, [each for each in gateway.dns_records if each != row])
    except (ProviderError, Taken, hook.HookFailed) as error:
        said = f"{left(gateway)} cannot be taken out of the DNS: {error}"
        kind, scope = ErrorKind.SETUP, Scope.BACKEND
        if isinstance(error, ProviderError):
            kind, scope = error.kind, error.scope
        raise ProviderError(said, kind=kind, scope=scope) from None


def left(gateway: Gateway) -> str:
    """Return which records of a gateway may be in the DNS still, "" where there are none."""
    rows = [(each["name"], each["type"], each["value"]) for each in gateway.dns_records]
    rows += [(each.name, TXT, each.value) for each in gateway.dns_answers.order_by("pk")]
    return ", ".join(" ".join(row) for row in rows)


def _keep_addresses(gateway: Gateway) -> None:
    """Raise ProviderError and Taken."""
    wanted = _wanted(gateway)
    for row in list(gateway.dns_records):
        if (row["name"], row["type"], row["value"]) not in wanted:
            _take_away(gateway, row)
            _note(gateway, [each for each in gateway.dns_records if each != row])
    known = {row["name"] for row in gateway.dns_records if row["is_made"]}
    for name, kind, value in wanted:
        if name not in known:
            with turns.turn(name):
                _make(gateway, name, kind, value)
    if not gateway.makes_records and not gateway.dns_answers.exists():
        gateway.dns_connection = None
        Gateway.objects.filter(pk=gateway.pk).update(dns_connection=None)


def _wanted(gateway: Gateway) -> list[tuple[str, str, str]]:
    if not gateway.makes_records or not gateway.address:
        return []
    kind = resolving.record_type(gateway.address)
    names = [f"*.{gateway.domain}", *([gateway.domain] if kind != resolving.CNAME else [])]
    return [(name, kind, gateway.address) for name in names]


def _make(gateway: Gateway, name: str, kind: str, value: str) -> None:
    zone = _zone(gateway, gateway.domain)
    row = {"zone": zone, "name": name, "type": kind, "value": value, "is_made": False}
    others = [each for each in gateway.dns_records if each["name"] != name]
    there = _ask(gateway, lambda provider: provider.dns_values(zone, name, kind))
    if there and there != [value]:
        if name == gateway.domain:
            # Services are names below it: whoever has the domain itself keeps it.
            return
        raise Taken(
            f"{name} has a record {kind} {', '.join(there)[:100]} already: take it away where the "
            "domain is managed, and it is made then"
        )
    if not there:
        _note(gateway, [*others, row])
        _ask(gateway, lambda provider: provider.set_dns(zone, name, kind, [value]))
    _note(gateway, [*others, {**row, "is_made": True}])


def _take_away(gateway: Gateway, row: dict[str, Any]) -> None:
    zone, name, kind = row["zone"], row["name"], row["type"]
    if gateway.dns_connection is None:
        return
    with turns.turn(name):
        there = _ask(gateway, lambda provider: provider.dns_values(zone, name, kind))
        if there == [row["value"]]:
            _ask(gateway, lambda provider: provider.set_dns(zone, name, kind, []))


def _keep_answers(gateway: Gateway) -> bool:
    """Write and take away answers; return whether some are on their way."""
    try:
        _bring_answers(gateway)
    except (ProviderError, hook.HookFailed, Taken) as error:
        said = str(error)[:MOST_CHARACTERS]
        gateway.dns_answers.exclude(is_wanted=True, is_there=True).update(error=said)
        return False
    return gateway.dns_answers.filter(is_wanted=True, is_there=False).exists()


def _bring_answers(gateway: Gateway) -> None:
    """Raise ProviderError, HookFailed and Taken."""
    rows = list(gateway.dns_answers.order_by("pk"))
    by_name: dict[str, list[DnsAnswer]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    if gateway.dns_connection_id is None:
        _call_hook(rows)
        return
    for of_name in by_name.values():
        _write_all(gateway, of_name)


def _write_all(gateway: Gateway, rows: list[DnsAnswer]) -> None:
    """One record holds the answers of several challenges, and perhaps of somebody else."""
    name = rows[0].name
    # Perhaps of the domain that it had before.
    zone = _zone(gateway, name.removeprefix(CHALLENGE))
    if any(not row.is_wanted or row.asked_at is None for row in rows):
        with turns.turn(name):
            _write(gateway, zone, rows)
    waiting = [row for row in rows if row.is_wanted and not row.is_there]
    if not waiting:
        return
    there = _ask(gateway, lambda provider: provider.dns_values(zone, name, TXT))
    for row in waiting:
        if row.value not in there:
            # Somebody else, whom no turn keeps waiting, wrote what was there before.
            row.asked_at = None
        else:
            row.is_there = _ask(gateway, partial(_is_spread, change=row.change))
        row.save(update_fields=["is_there", "asked_at"])


def _write(gateway: Gateway, zone: str, rows: list[DnsAnswer]) -> None:
    name, ours = rows[0].name, {row.value for row in rows}
    there = _ask(gateway, lambda provider: provider.dns_values(zone, name, TXT))
    kept = [each for each in there if each not in ours]
    wanted = [*kept, *(row.value for row in rows if row.is_wanted)]
    change = _ask(gateway, lambda provider: provider.set_dns(zone, name, TXT, wanted))
    for row in rows:
        if not row.is_wanted:
            row.delete()
        elif row.asked_at is None:
            row.change, row.asked_at = change, timezone.now()
            row.save(update_fields=["change", "asked_at"])


def _is_spread(provider: ManagesDns, *, change: str) -> bool:
    return provider.is_dns_spread(change)


def _call_hook(rows: list[DnsAnswer]) -> None:
    now, takes = timezone.now(), timedelta(seconds=settings.DSTACK_GATEWAY_DNS_SECONDS)
    for row in rows:
        if not row.is_wanted:
            if hook.is_set():
                with turns.turn(row.name):
                    hook.call("cleanup", row.name, row.value)
            row.delete()
        elif row.asked_at is None:
            with turns.turn(row.name):
                hook.call("present", row.name, row.value)
            row.asked_at = timezone.now()
            row.save(update_fields=["asked_at"])
        elif not row.is_there and now - row.asked_at >= takes:
            row.is_there = True
            row.save(update_fields=["is_there"])


def _zone(gateway: Gateway, domain: str) -> str:
    """Return the zone of a domain. Raise ProviderError and Taken."""
    for row in gateway.dns_records:
        if row["zone"] and row["name"] in (domain, f"*.{domain}"):
            return str(row["zone"])
    found = _ask(gateway, lambda provider: provider.dns_zone(domain))
    if not found:
        connection = gateway.dns_connection
        raise Taken(
            f"backend {connection.name if connection else ''} has no public zone in which "
            f"{domain} is: add it there, or take a domain of a zone that it has"
        )
    return found


def _ask(gateway: Gateway, question: Callable[[ManagesDns], Answer]) -> Answer:
    def asked(provider: Provider) -> Answer:
        assert isinstance(provider, ManagesDns)
        return question(provider)

    assert gateway.dns_connection is not None
    return calls.ask(gateway.dns_connection, asked, about=gateway.uid)


def _note(gateway: Gateway, rows: list[dict[str, Any]]) -> None:
    gateway.dns_records = rows
    Gateway.objects.filter(pk=gateway.pk).update(dns_records=rows)


def is_kept_for(gateway: Gateway) -> bool:
    """Tell whether there may be anything to do."""
    is_over = gateway.state == states.DELETED
    has_some = bool(gateway.dns_records or gateway.dns_connection_id)
    is_told = gateway.solves_dns == solves(gateway)
    return not is_over and (has_some or not is_told or gateway.dns_answers.exists())
