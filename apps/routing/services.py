"""Building and publishing the table of a gateway.

`publish` compares what the table should say with its entries, under the lock of the gateway's row,
and gives what differs the next version; the gateway's long poll brings it the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import queries as accounts
from apps.chat_templates import queries as chat_templates
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.sweep import one_by_one
from apps.gateways.models import Gateway
from apps.instances import states as instance_states
from apps.routing import addresses, browsers, certificates, tunnels
from apps.routing.models import Entry
from apps.runs import public_urls, states
from apps.runs.control.replica_lifecycle import drained as note_drained
from apps.runs.models import Replica, Run
from apps.runs.queries import ACTIVE_RUNS
from gateway import schema

ENDPOINT, KEY = "endpoint", "key"
# Of each service and second, as many requests are told one by one.
REQUEST_ROWS = 20
Wanted = Mapping[str, dict[str, Any]]


def publish_runs(*, run_ids: Iterable[UUID]) -> None:
    """Bring these runs' endpoints up to date on their gateways.

    A service key opens endpoints by their ids, so keys are looked at when an endpoint comes or
    goes.
    """
    runs = Run.objects.filter(pk__in=list(run_ids), gateway__isnull=False)
    by_gateway: dict[int, list[UUID]] = {}
    for pk, gateway_id in runs.values_list("pk", "gateway_id"):
        by_gateway.setdefault(gateway_id, []).append(pk)
    for gateway_id, ids in by_gateway.items():
        # Only a service that came or went changes what a key opens.
        if _publish(gateway_id, ENDPOINT, lambda ids=ids: endpoints(ids), only=ids):
            publish_keys(gateway_ids=[gateway_id])


def publish_all(*, gateway_ids: Iterable[int]) -> None:
    """Bring whole tables up to date; what needs nothing writes nothing."""
    one_by_one(gateway_ids, _publish_all)


def _publish_all(gateway_id: int) -> None:
    active = Run.objects.filter(gateway_id=gateway_id).exclude(state__in=states.RUN.final)
    ids = list(active.values_list("pk", flat=True))
    _publish(gateway_id, ENDPOINT, lambda: endpoints(ids))
    publish_keys(gateway_ids=[gateway_id])
    publish_certificates(gateway_ids=[gateway_id])
    publish_tunnels(gateway_ids=[gateway_id])


def publish_keys(*, gateway_ids: Iterable[int]) -> None:
    for gateway_id in gateway_ids:
        _publish(gateway_id, KEY, lambda gateway_id=gateway_id: keys(gateway_id))


def publish_certificates(*, gateway_ids: Iterable[int]) -> None:
    for pk in gateway_ids:
        _publish(pk, certificates.KIND, lambda pk=pk: certificates.wanted(pk))


def publish_tunnels(*, gateway_ids: Iterable[int]) -> None:
    for pk in gateway_ids:
        _publish(pk, tunnels.KIND, lambda pk=pk: tunnels.wanted(pk))


def endpoints(run_ids: Iterable[UUID]) -> dict[str, dict[str, Any]]:
    """Return the endpoints of these runs as the table should have them."""
    active = Run.objects.filter(pk__in=list(run_ids)).exclude(state__in=states.RUN.final)
    # One whose machine is silent may serve all the same: the gateway sees that for itself.
    silent = Q(state=states.UNHEALTHY, instance__state=instance_states.LOST)
    # One behind a tunnel runs when its gateway reaches it, so the gateway hears of it before.
    early = Q(state__in=[states.PROVISIONING, states.STARTING], workload__ready=True)
    early &= Q(workload__tunnel__freed_at=None, workload__tunnel__isnull=False)
    serving = Replica.objects.filter(Q(state=states.RUNNING) | silent | early, run__in=active)
    serving = serving.select_related("run__gateway", "instance", "workload__tunnel")
    upstreams: dict[UUID, list[dict[str, str]]] = {}
    for replica in serving.order_by("num"):
        if address := addresses.of(replica):
            upstream = {"id": str(replica.pk), "address": address}
            upstreams.setdefault(replica.run_id, []).append(upstream)
    found = active.select_related("gateway", "project", "model_source__repository")
    return {
        str(run.pk): _endpoint(run, upstreams.get(run.pk, []))
        for run in found
        if run.state != states.STOPPING
    }


def _endpoint(run: Run, upstreams: list[dict[str, str]]) -> dict[str, Any]:
    gateway = run.gateway
    assert gateway is not None
    host = f"{run.name}.{gateway.domain}".lower()
    return {
        "project": str(run.project_id),
        "run": run.name,
        "hosts": [host] if public_urls.has_host(run) else [],
        "paths": [public_urls.path_of(run.project.name, run.name)]
        if public_urls.serves_paths(gateway) or not public_urls.has_host(run)
        else [],
        "strip_prefix": run.spec.get("strip_prefix", True),
        "auth": run.spec.get("auth", True),
        "https": bool(run.spec.get("https", True)),
        # Nothing is held for a service that a person or its schedule has set to no replicas at all.
        "awake": run.spec["replicas"]["max"] != 0 and not run.is_off,
        "replicas": upstreams,
        "model": _model(run),
        "hold": run.spec["hold"],
        "max_concurrency": run.spec["max_concurrency"],
        "idle_timeout_seconds": run.spec["idle_timeout_seconds"],
        "rate_limits": [_rate_limit(limit) for limit in run.spec["rate_limits"]],
    }


def _rate_limit(limit: Mapping[str, Any]) -> dict[str, Any]:
    # Header names have no case; the table has them in lower case.
    header = (limit["key"]["header"] or "").lower()
    return {
        "prefix": limit["prefix"],
        "rps": limit["rps"],
        "burst": limit["burst"],
        "header": header,
    }


def _model(run: Run) -> dict[str, Any] | None:
    model = run.spec["model"]
    if model is None or run.model_withheld:
        return None
    kept = ("name", "format", "prefix", "chat_template", "eos_token")
    said = {**{key: model[key] for key in kept}, "created_at": run.created_at.timestamp()}
    return said if model["format"] != "tgi" else said | chat_templates.found_elsewhere(run)


def keys(gateway_id: int) -> dict[str, dict[str, Any]]:
    """Return all good tokens with what each opens on this gateway, be it
    nothing: a stranger is told 403, a wrong token 401."""
    entries = Entry.objects.filter(gateway_id=gateway_id, kind=ENDPOINT, deleted=False)
    endpoint_of = {(e.payload["project"], e.payload["run"]): e.ref for e in entries}
    served = set(Gateway.objects.get(pk=gateway_id).projects.values_list("pk", flat=True))
    wanted: dict[str, dict[str, Any]] = {}
    for grant in accounts.callable_tokens():
        projects = [str(pk) for pk in grant.project_ids if pk in served]
        opened = [
            endpoint_of[project, name]
            for project in projects
            for name in grant.run_names
            if (project, name) in endpoint_of
        ]
        wanted[str(grant.id)] = {
            "hash": grant.hash,
            "expires_at": grant.expires_at.timestamp() if grant.expires_at else None,
            "projects": [] if grant.run_names else sorted(projects),
            "endpoints": sorted(opened),
            "rps": grant.rps,
            "burst": grant.burst,
        }
    return wanted | browsers.wanted(gateway_id, at=timezone.now())


def open_in_browser(*, gateway: Gateway, endpoint: str, ticket: str, at: datetime) -> schema.Opened:
    """Exchange a ticket for a cookie, which the gateway knows from the said version on."""
    found = browsers.exchange(gateway=gateway, endpoint=endpoint, ticket=ticket, at=at)
    if found is None:
        return schema.Opened()
    row, cookie = found
    publish_keys(gateway_ids=[gateway.pk])
    gateway.refresh_from_db(fields=["revision"])
    return schema.Opened(
        cookie=cookie,
        version=gateway.revision,
        max_age_seconds=max(int((row.expires_at - at).total_seconds()), 1),
        secure=public_urls.service_url(row.run).startswith("https://"),
    )


def _publish(gateway_id: int, kind: str, build: Any, *, only: Iterable[UUID] | None = None) -> bool:
    """Return whether an entry came or went. `only` leaves other entries alone."""
    with transaction.atomic():
        # The lock comes before the reading: two publishers never write an older picture last.
        gateway = Gateway.objects.select_for_update().get(pk=gateway_id)
        wanted: Wanted = build()
        known = gateway.entries.filter(kind=kind)
        if only is not None:
            known = known.filter(ref__in=[str(pk) for pk in only])
        before = {entry.ref: entry for entry in known}
        changed = _changed(gateway, kind, wanted, before)
        if not changed:
            return False
        _write(gateway, changed)
        after_commit(notifications.publish, f"gateway:{gateway_id}")
    return any(
        entry.deleted or entry.ref not in before or before[entry.ref].deleted for entry in changed
    )


def _changed(
    gateway: Gateway, kind: str, wanted: Wanted, before: Mapping[str, Entry]
) -> list[Entry]:
    version = gateway.revision + 1
    changed = []
    for ref, payload in wanted.items():
        old = before.get(ref)
        if old is None or old.deleted or old.payload != payload:
            changed.append(_entry(gateway, kind, ref, version, payload=payload))
    for ref, old in before.items():
        if ref not in wanted and not old.deleted:
            changed.append(_entry(gateway, kind, ref, version, deleted=True))
    return changed


def _entry(
    gateway: Gateway,
    kind: str,
    ref: str,
    version: int,
    *,
    payload: dict[str, Any] | None = None,
    deleted: bool = False,
) -> Entry:
    return Entry(
        gateway=gateway,
        kind=kind,
        ref=ref,
        version=version,
        payload=payload or {},
        deleted=deleted,
    )


def _write(gateway: Gateway, changed: list[Entry]) -> None:
    Entry.objects.bulk_create(
        changed,
        update_conflicts=True,
        unique_fields=["gateway", "kind", "ref"],
        update_fields=["version", "payload", "deleted"],
    )
    gateway.revision += 1
    gateway.save(update_fields=["revision"])


def table(*, gateway: Gateway, since: int) -> schema.Table:
    """Return the entries newer than `since`; all of them where that is no version that this table
    ever had, or one whose tombstones are gone."""
    gateway = Gateway.objects.get(pk=gateway.pk)
    whole = since <= 0 or since > gateway.revision or since < gateway.pruned
    entries = gateway.entries.filter(version__lte=gateway.revision)
    entries = entries.filter(deleted=False) if whole else entries.filter(version__gt=since)
    found = list(entries)
    return schema.Table(
        version=gateway.revision,
        whole=whole,
        gateway=str(gateway.pk),
        domain=gateway.domain.lower(),
        solves_dns=gateway.solves_dns,
        request_rows=REQUEST_ROWS if settings.DSTACK_REQUEST_HOURS else 0,
        own_hosts=[host.lower() for host in gateway.own_hosts],
        endpoints=[
            schema.Endpoint(id=e.ref, version=e.version, deleted=e.deleted, **e.payload)
            for e in found
            if e.kind == ENDPOINT
        ],
        keys=[
            schema.Key(id=e.ref, version=e.version, deleted=e.deleted, **e.payload)
            for e in found
            if e.kind == KEY
        ],
        certificates=certificates.entries_of(gateway=gateway, entries=found),
        tunnels=tunnels.entries_of(found),
    )


def take_status(*, gateway: Gateway, status: schema.Status, at: datetime) -> list[UUID]:
    """Note what the gateway has applied and which replicas are empty now.

    Return the draining replicas on which the last request has just ended.
    """
    Gateway.objects.filter(pk=gateway.pk).update(
        applied=status.applied,
        draining=status.draining,
        error=status.error[:2000],
        secured=[each.model_dump() for each in status.certificates],
        reported_at=at,
    )
    tunnels.note_server(gateway=gateway, server=status.tunnels)
    leaving = Replica.objects.filter(
        run__gateway=gateway, state=states.DRAINING, drained_at__isnull=True
    )
    gone = [pk for pk in leaving.values_list("pk", flat=True) if str(pk) not in status.draining]
    listed = _listed(gateway, applied=status.applied)
    return note_drained(ids=[pk for pk in gone if str(pk) not in listed], at=at)


def _listed(gateway: Gateway, *, applied: int) -> set[str]:
    """Replicas that the gateway may still send requests to: those of the table, and those of
    endpoints that changed since what it has applied."""
    entries = gateway.entries.filter(kind=ENDPOINT)
    listed = {r["id"] for e in entries.filter(deleted=False) for r in e.payload["replicas"]}
    newer = entries.filter(version__gt=applied).values_list("ref", flat=True)
    pending = Replica.objects.filter(run_id__in=list(newer)).exclude(state__in=states.REPLICA.final)
    return listed | {str(pk) for pk in pending.values_list("pk", flat=True)}


def asked_for(*, gateway: Gateway, held: Mapping[str, int]) -> list[UUID]:
    """Return the runs without a wanted replica for which requests are held.

    A gateway speaks for the runs that are published on it; what it says of others is ignored.
    """
    waiting = {ref for ref, count in held.items() if count > 0}
    if not waiting:
        return []
    asleep = Run.objects.filter(gateway=gateway, desired_replicas=0, state__in=ACTIVE_RUNS)
    return [pk for pk in asleep.values_list("pk", flat=True) if str(pk) in waiting]
