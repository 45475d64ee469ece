"""Take from rows of before what the cloud of a server's own backend said word for word.

Such sentences name accounts, roles and resources of whoever pays, and members of every project that
shares the backend read these rows. What is written now says of what kind a failure was, and is left
as it is. No state changes and no column does, so the code of before goes on meanwhile; a batch at a
time is read, written and committed, and all of it may be done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db import migrations, transaction
from django.db.models import Q

BATCH = 200
STANDING = ("local", "ssh")
# What sentences that are told to projects now say.
IN_PUBLIC = "admins of this server read what it said on the backend's page"
INSTEAD = "Why is told no more: its cloud's words from before an upgrade may name who pays for it"
NEVER_MADE = ("no-capacity", "no-backend", "not-booted")
NO_PLACE = ("no-capacity", "no-backend", "over-limit")


def clean(apps: Any, schema_editor: Any) -> None:
    backends = apps.get_model("backends", "Backend").objects.filter(project=None)
    shared = dict(backends.exclude(kind__in=STANDING).values_list("pk", "name"))
    if not shared:
        return
    for instances in _batches(apps, "instances", "Instance", Q(backend__in=shared)):
        _clean_instances(apps, instances)
    for replicas in _batches(apps, "runs", "Replica", ~Q(tried=[])):
        _clean_replicas(apps, replicas, set(shared.values()))
    its = Q(connection__in=shared) | Q(dns_connection__in=shared)
    for gateways in _batches(apps, "gateways", "Gateway", its):
        _clean_gateways(apps, gateways, set(shared))
    # Whose they were is known no more.
    gone = apps.get_model("core", "Event").objects.filter(state_machine="gateway", new="deleted")
    _clean_texts(gone.exclude(reason="").iterator(), "reason")
    for blocks in _batches(apps, "offers", "BlockedOffer", Q(backend__in=shared)):
        _clean_texts(blocks, "reason")


def _batches(apps: Any, app: str, model: str, which: Q) -> Iterator[list[Any]]:
    """Return the rows by their keys, each batch in a transaction of its own."""
    rows, last = apps.get_model(app, model).objects.filter(which).order_by("pk"), None
    while True:
        with transaction.atomic():
            later = rows if last is None else rows.filter(pk__gt=last)
            found = list(later.select_for_update(of=("self",), no_key=True)[:BATCH])
            yield found
        if len(found) < BATCH:
            return
        last = found[-1].pk


def _is_raw(text: str) -> bool:
    return bool(text) and IN_PUBLIC not in text and not text.startswith(INSTEAD)


def _clean_texts(rows: Iterable[Any], *names: str) -> None:
    for row in rows:
        changed = {name: INSTEAD for name in names if _is_raw(getattr(row, name))}
        if changed:
            type(row).objects.filter(pk=row.pk).update(**changed)


def _events(apps: Any, state_machine: str, ids: Iterable[Any]) -> Any:
    found = apps.get_model("core", "Event").objects
    return found.filter(state_machine=state_machine, object_id__in=list(ids))


def _clean_instances(apps: Any, instances: list[Any]) -> None:
    _clean_texts(instances, "error", "boot_error")
    ids = [each.pk for each in instances]
    told = Q(new="failed") | Q(new__in=["terminating", "terminated"], reason__startswith="machine ")
    _clean_texts(_events(apps, "instance", ids).filter(told), "reason")
    workloads = apps.get_model("instances", "Workload").objects.filter(
        instance__in=ids, exit_reason__in=NEVER_MADE
    )
    _clean_texts(workloads, "message")
    ended = _events(apps, "workload", workloads.values_list("pk", flat=True))
    _clean_texts(ended.filter(new="exited"), "reason")


def _clean_replicas(apps: Any, replicas: list[Any], shared: set[str]) -> None:
    """The words of a replica without a place hold those of all that it tried, and its run's hold
    the replica's. One that had a place in the end says what became of it there."""
    raw = [each for each in replicas if any(_is_attempt(tried, shared) for tried in each.tried)]
    placeless = [each for each in raw if _had_no_place(each, shared)]
    told = {each.pk: each.message for each in placeless}
    for each in raw:
        tried = [
            {**attempt, "why": INSTEAD} if _is_attempt(attempt, shared) else attempt
            for attempt in each.tried
        ]
        type(each).objects.filter(pk=each.pk).update(tried=tried)
    _clean_texts(placeless, "message")
    back = _events(apps, "replica", [each.pk for each in raw]).filter(new="pending")
    _clean_texts(back.exclude(old=""), "reason")
    over = _events(apps, "replica", told).filter(new__in=["failed", "stopped"])
    _clean_texts(over, "reason")
    said = {text for text in told.values() if _is_raw(text)}
    runs = {each.run_id for each in raw}
    of_runs = apps.get_model("runs", "Run").objects.filter(pk__in=runs)
    versions = apps.get_model("runs", "RunVersion").objects.filter(run__in=runs)
    events = apps.get_model("core", "Event").objects.filter(run_id__in=runs).exclude(reason="")
    _cut_out(of_runs, said, "error", "notice")
    _cut_out(versions, said, "reason")
    _cut_out(events.iterator(), said, "reason")


def _is_attempt(tried: dict[str, Any], shared: set[str]) -> bool:
    return tried.get("backend") in shared and _is_raw(tried.get("why", ""))


def _had_no_place(replica: Any, shared: set[str]) -> bool:
    said = [each["why"].rstrip(".") for each in replica.tried if _is_attempt(each, shared)]
    return replica.exit_reason in NO_PLACE or any(why in replica.message for why in said)


def _cut_out(rows: Iterable[Any], said: set[str], *names: str) -> None:
    """What else these rows say stays, such as which version goes on."""
    for row in rows:
        changed = {}
        for name in names:
            text = before = getattr(row, name)
            # A text may hold another one.
            for each in sorted(said, key=len, reverse=True):
                text = text.replace(each, f"{INSTEAD}.")
            if text != before:
                changed[name] = text
        if changed:
            type(row).objects.filter(pk=row.pk).update(**changed)


def _clean_gateways(apps: Any, gateways: list[Any], shared: set[int]) -> None:
    there = [each for each in gateways if each.connection_id in shared]
    _clean_texts(there, "failure")
    for each in there:
        tried = [
            {**attempt, "error": INSTEAD} if _is_raw(attempt.get("error", "")) else attempt
            for attempt in each.tried
        ]
        type(each).objects.filter(pk=each.pk).update(tried=tried)
    _clean_texts((each for each in gateways if each.dns_connection_id in shared), "dns_error")
    events = _events(apps, "gateway", [each.uid for each in there])
    _clean_texts(events.filter(new__in=["creating", "failed"]), "reason")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("runs", "0015_why_placed"),
        ("backends", "0011_machines_that_never_called"),
        ("core", "0002_state_machines"),
        ("gateways", "0008_dns_turns"),
        ("instances", "0018_tunnels_that_are_cut"),
        ("offers", "0002_blocked_offers"),
    ]

    operations = [migrations.RunPython(clean, migrations.RunPython.noop)]
