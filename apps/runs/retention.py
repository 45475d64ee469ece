"""What is kept of runs: all of those that are active, and for a while of those that are over.

Of an active run the newest versions stay, with the one that runs and the one to fall back to, and
of its replicas that ended those that say something still: that a version got ready, and which image
it runs. What they cost is booked elsewhere.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from apps.core import retention
from apps.core.models import Event
from apps.instances import states as instance_states
from apps.instances.models import Workload
from apps.runs import states
from apps.runs.models import Replica, Run, RunVersion

# Versions and replicas go with their run, so that few runs are many rows.
RUNS_AT_ONCE = 20
# What somebody deleted is out of all lists; for so long it can be looked up in the database.
DELETED_AFTER = timedelta(days=1)


def prune(*, at: datetime) -> int:
    """Forget what is over for longer than DSTACK_HISTORY_DAYS and versions that are more than
    DSTACK_RUN_VERSIONS. Return the number of rows; two at once are harmless."""
    before = retention.history_begins(at)
    gone = retention.delete(_over(at, before), batch=RUNS_AT_ONCE)
    gone += retention.delete(_surplus_versions())
    gone += retention.delete(_ended_replicas(before))
    return gone + retention.delete(_old_events(before))


def _over(at: datetime, before: datetime) -> QuerySet[Run]:
    """Their names stay free, their events stay as long as all events do."""
    working = Workload.objects.filter(run_id=OuterRef("pk")).exclude(state=instance_states.EXITED)
    ended = Q(finished_at__lt=before) | Q(finished_at=None, state_at__lt=before)
    deleted = Q(deleted_at__lt=at - DELETED_AFTER)
    return Run.objects.filter(ended | deleted, ~Exists(working), state__in=states.RUN.final)


def _surplus_versions() -> QuerySet[RunVersion]:
    """Versions that are not among the newest; of runs that are over too."""
    newer = RunVersion.objects.filter(run=OuterRef("run"), version__gt=OuterRef("version"))
    nth_newer = newer.order_by("version").values("pk")[settings.DSTACK_RUN_VERSIONS - 1 :]
    serving = Replica.objects.filter(run=OuterRef("run"), version=OuterRef("version"))
    serving = serving.exclude(state__in=states.REPLICA.final)
    current = Q(version=F("run__version")) | Q(run__fallback=F("version"))
    return RunVersion.objects.filter(Exists(nth_newer), ~current, ~Exists(serving))


def _ended_replicas(before: datetime) -> QuerySet[Replica]:
    """Replicas of active runs; those of others go with their run."""
    same = Replica.objects.filter(run=OuterRef("run"), version=OuterRef("version"))
    later = same.filter(pk__gt=OuterRef("pk"), ready_at__isnull=False)
    pinned = same.filter(pk__lt=OuterRef("pk"), workload__isnull=False)
    pinned = pinned.exclude(workload__image_pin="")
    was_ready = Q(ready_at__isnull=False) & ~Exists(later)
    has_pin = Q(workload__isnull=False) & ~Q(workload__image_pin="") & ~Exists(pinned)
    old = Replica.objects.filter(state__in=states.REPLICA.final, finished_at__lt=before)
    return old.exclude(was_ready).exclude(has_pin)


def _old_events(before: datetime) -> QuerySet[Event]:
    """An active run keeps its own from its begin on: they are few, and say how it came about."""
    active = Run.objects.filter(pk=OuterRef("run_id"), state__in=states.RUN.unfinished)
    return Event.objects.filter(~Q(state_machine=states.RUN.name) | ~Exists(active), at__lt=before)
