"""The event that says which requests a replica was answering when its process ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from apps.agent import wire
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.models import Event
from apps.gateways.models import Gateway
from apps.instances import states as instance_states
from apps.runs import states
from apps.runs.control import last_requests
from apps.runs.control.last_requests import Request
from apps.runs.models import Replica

# Else it ended by our will, or with its machine.
BY_ITSELF = (wire.REASON_EXITED, wire.REASON_OUT_OF_MEMORY, wire.REASON_OVER_BOUND)

MOST_SIBLINGS = 20


def take(*, gateway: Gateway, said: Mapping[UUID, Sequence[Request]], at: datetime) -> None:
    """Keep what a gateway says of replicas, of runs that are published on it only."""
    if not said:
        return
    with transaction.atomic():
        rows = Replica.objects.select_for_update(of=["self"]).filter(run__gateway=gateway)
        own = list(rows.filter(pk__in=said).order_by("pk").only("pk", "unanswered"))
        for replica in own:
            known = [Request(*each) for each in replica.unanswered]
            kept = last_requests.kept(known, said[replica.pk])
            if kept != known:
                values = [[each.closed_at, each.method, each.path] for each in kept]
                Replica.objects.filter(pk=replica.pk).update(unanswered=values)
        tell([replica.pk for replica in own], at=at)


def tell(ids: Iterable[UUID], *, at: datetime) -> None:
    """Write the event of each of these replicas that ended while it answered something.

    Whoever comes second, the exit or the gateway's report, finds both; each replica has one event.
    """
    ids = list(ids)
    if not ids:
        return
    events = [event for replica in _ended(ids) if (event := _event(replica, at=at))]
    if events:
        Event.objects.bulk_create(events, ignore_conflicts=True)
        told = [event.object_id for event in events]
        after_commit(notifications.transitioned, states.REPLICA.name, "told", told)


def _ended(ids: Sequence[UUID]) -> QuerySet[Replica]:
    over = Replica.objects.filter(pk__in=ids, state__in=states.REPLICA.final)
    ended = over.exclude(unanswered=[]).filter(
        workload__state=instance_states.EXITED, workload__exit_reason__in=BY_ITSELF
    )
    return ended.select_related("workload").only("run", "num", "unanswered", "workload__exited_at")


def _event(replica: Replica, *, at: datetime) -> Event | None:
    assert replica.workload is not None
    assert replica.workload.exited_at is not None
    requests = [Request(*each) for each in replica.unanswered]
    ended_with = last_requests.unfinished(requests, exited_at=replica.workload.exited_at)
    if not ended_with:
        return None
    first = _elsewhere_before(replica, ended_with)
    again = f", sent to it after {first} ended with it" if first else ""
    project_id, run_id, label = replica.event_scope
    return Event(
        state_machine=states.REQUEST,
        object_id=replica.pk,
        version=0,
        new=states.UNANSWERED,
        reason=last_requests.sentence(ended_with) + again,
        project_id=project_id,
        run_id=run_id,
        label=label,
        at=at,
    )


def _elsewhere_before(replica: Replica, ended_with: Sequence[Request]) -> str:
    """The replica that the gateway had asked first, "" where this is the only one."""
    others = Replica.objects.filter(run=replica.run_id).exclude(pk=replica.pk)
    others = others.exclude(unanswered=[]).order_by("-pk")[:MOST_SIBLINGS]
    for other in others.only("num", "unanswered"):
        said = [Request(*each) for each in other.unanswered]
        if last_requests.sent_again(ended_with, said):
            return str(other)
    return ""
