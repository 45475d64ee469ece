"""What should become of a run and its replicas. Pure: plain data in, plain data out.

A run's replicas have numbers. The newest replica of a number tells what may follow on it: nothing
yet, so start; ended well, so start; failed and may be retried, so start after a backoff; failed for
good, so leave it. Failures from before a person last asked for replicas no longer count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from apps.core.backoff import Backoff
from apps.core.state_machine import Machine
from apps.runs import states

HOST_STOPPED = "host_stopped"
# Its cloud took its spot machine back.
INTERRUPTED = "interrupted"
# What is no fault of the service: replaced whatever `retry` is.
OF_MACHINE = (HOST_STOPPED, INTERRUPTED)
NO_CAPACITY = "no-capacity"
# A person has to mend it. Else it is as where nothing is free: a place is looked for again.
NO_BACKEND = "no-backend"
# The same of a machine whose region alone it is; its replica looks in others.
NO_REGION = "no-region"
# The project may have no machine more; when it has fewer, there is a place.
OVER_LIMIT = "over-limit"
NO_PLACE = (NO_CAPACITY, NO_BACKEND, OVER_LIMIT)
# First replacement at once; then 15 s, doubling to 10 minutes.
# Before a replacement, by how many were made before it.
BACKOFF = Backoff(timedelta(seconds=15), timedelta(minutes=10))
# Where nothing is wrong with the service, a place is looked for more often.
PLACE_MOST = timedelta(minutes=2)
# A replica that served this long has proved itself: its next failure is a first one again.
PROVEN = timedelta(minutes=10)
# A rollout starts so many replicas above the desired number.
SURGE = 1
# What its machine's end leaves for the requests in flight, and to end after them.
LEAVES_BEFORE = timedelta(seconds=30)

REPLICA: Machine = states.REPLICA


@dataclass(frozen=True)
class ReplicaFacts:
    """`ends_at` is when the cloud ends its machine, None where it said nothing of that."""

    id: UUID
    num: int
    state: str
    attempt: int = 0
    ready_at: datetime | None = None
    finished_at: datetime | None = None
    exit_reason: str = ""
    message: str = ""
    version: int = 1
    in_flight: int = 0
    ends_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        return self.state not in REPLICA.final and self.state != states.DRAINING


@dataclass(frozen=True)
class RunFacts:
    """A person last asked for replicas at `failures_counted_since`; `retry_on` and `retry_for` are
    the `retry` of the spec (no events: never). `autoscaled`: it scales and either served before or
    may sleep, so a replica that does not start is tried again while it is desired. `was_ready`: it
    served once, so that there is no place for its last replica does not end it. `version` is the
    version that should run, `fallback` the one that served before it, until it is promoted; it is
    given `start_within` to get ready, where `retry` lets it try again at all. `changes_at` is when
    its schedule switches it next.
    """

    state: str
    desired: int
    stopping: bool
    failures_counted_since: datetime
    created_at: datetime
    max_duration: timedelta | None = None
    retry_on: frozenset[str] = frozenset()
    retry_for: timedelta | None = None
    autoscaled: bool = False
    was_ready: bool = False
    version: int = 1
    fallback: int | None = None
    start_within: timedelta = timedelta(minutes=20)
    changes_at: datetime | None = None


@dataclass(frozen=True)
class Start:
    num: int
    attempt: int = 0
    not_before: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """What to do: replicas to start and to retire, the run's state and why."""

    state: str
    start: Sequence[Start] = ()
    retire: Sequence[UUID] = ()
    reason: str = ""
    expired: bool = False
    next_check_at: datetime | None = None
    give_up: bool = False
    promoted: bool = False


@dataclass
class _Slots:
    """The newest replica of each number, the newest that was ready, and those that are not over."""

    newest: dict[int, ReplicaFacts] = field(default_factory=dict)
    served: dict[int, ReplicaFacts] = field(default_factory=dict)
    unfinished: set[int] = field(default_factory=set)


def reconcile(run: RunFacts, replicas: Sequence[ReplicaFacts], *, at: datetime) -> Verdict:
    """Say what the run needs now; `replicas` are oldest first."""
    live = [replica for replica in replicas if replica.is_live]
    unfinished = [replica for replica in replicas if replica.state not in REPLICA.final]
    if run.stopping or _expired(run, at):
        state = states.STOPPING if unfinished else states.STOPPED
        return Verdict(state, retire=[r.id for r in live], expired=not run.stopping)
    bad = _unfit(run, replicas)
    if bad is not None:
        return Verdict(run.state, reason=bad.message, give_up=True)
    staying = [replica for replica in live if replica.ends_at is None]
    leaving = [replica for replica in live if replica not in staying]
    retired = [*_retired(run, staying), *_left(run, leaving, staying, at)]
    kept = [replica for replica in live if replica not in retired]
    stays = [replica for replica in staying if replica not in retired]
    # Beside one that lives, a number that never found a place is no end of anything.
    lonely = replace(run, was_ready=run.was_ready and not stays)
    starts = _starts(lonely, replicas, missing=_missing(run, stays), at=at)
    state = _state(run, kept, starts)
    return Verdict(
        state,
        start=starts,
        retire=[replica.id for replica in retired],
        reason=_last_failure(replicas) if state == states.FAILED else "",
        next_check_at=_next_check_at(run, kept),
        promoted=run.fallback is not None and _is_promotable(run, kept),
    )


def _next_check_at(run: RunFacts, kept: Sequence[ReplicaFacts]) -> datetime | None:
    ends_at = run.created_at + run.max_duration if run.max_duration else None
    leaves = [replica.ends_at - LEAVES_BEFORE for replica in kept if replica.ends_at]
    return min((at for at in (ends_at, run.changes_at, *leaves) if at is not None), default=None)


def _split(
    run: RunFacts, live: Sequence[ReplicaFacts]
) -> tuple[list[ReplicaFacts], list[ReplicaFacts]]:
    """Those of the version that should run, and those of others."""
    new = [replica for replica in live if replica.version == run.version]
    return new, [replica for replica in live if replica.version != run.version]


def _serving(live: Sequence[ReplicaFacts]) -> list[ReplicaFacts]:
    return [replica for replica in live if replica.state == states.RUNNING]


def _retired(run: RunFacts, live: Sequence[ReplicaFacts]) -> list[ReplicaFacts]:
    """Old ones that do not serve, old ones whose place a ready new one takes, and too many."""
    new, old = _split(run, live)
    serving, ready = _serving(old), len(_serving(new))
    retired = [replica for replica in old if replica not in serving]
    retired += _excess(serving, ready + len(serving) - run.desired)
    kept = len(old) - len(retired)
    most = run.desired + SURGE if kept else run.desired
    return retired + _excess(new, max(len(new) - run.desired, len(new) + kept - most))


def _left(
    run: RunFacts,
    leaving: Sequence[ReplicaFacts],
    staying: Sequence[ReplicaFacts],
    at: datetime,
) -> list[ReplicaFacts]:
    """Those on machines that are taken back and that take no new requests from now on.

    At once where another serves, so that the requests in flight have all the time that there is;
    the last one that serves goes on until its machine's end is near, for its replacement to start.
    """
    if not run.desired or _serving(staying):
        return list(leaving)
    return [
        replica
        for replica in leaving
        if replica.state != states.RUNNING
        or replica.ends_at is None
        or at >= replica.ends_at - LEAVES_BEFORE
    ]


def _missing(run: RunFacts, live: Sequence[ReplicaFacts]) -> int:
    """How many of the version may start: as many as are desired, with one above while old live."""
    new, old = _split(run, live)
    most = run.desired + SURGE if old else run.desired
    return min(run.desired - len(new), most - len(live))


def _is_promotable(run: RunFacts, live: Sequence[ReplicaFacts]) -> bool:
    new, old = _split(run, live)
    return bool(new) and not old and len(_serving(new)) >= run.desired


def _unfit(run: RunFacts, replicas: Sequence[ReplicaFacts]) -> ReplicaFacts | None:
    """The replica by which the new version showed that it does not come up, if one did.

    That scaling would try again for ever does not count here: there is a version that served.
    """
    if run.fallback is None:
        return None
    rigid = replace(run, autoscaled=False, was_ready=False)
    for replica in reversed(replicas):
        if replica.version != run.version or replica.state != states.FAILED:
            continue
        if replica.ready_at is not None or replica.finished_at is None:
            continue
        late = replica.finished_at - run.failures_counted_since >= run.start_within
        recent = replica.finished_at >= run.failures_counted_since
        counted = recent and replica.exit_reason not in OF_MACHINE
        if counted and (late or not may_follow(rigid, replica)):
            return replica
    return None


def changes_nothing(state: str, verdict: Verdict) -> bool:
    """Tell whether a run in `state` is as the verdict wants it."""
    asked = (
        verdict.start or verdict.retire or verdict.expired or verdict.give_up or verdict.promoted
    )
    return not asked and verdict.state == state


def _expired(run: RunFacts, at: datetime) -> bool:
    return run.max_duration is not None and at - run.created_at >= run.max_duration


def _state(run: RunFacts, live: Sequence[ReplicaFacts], starts: Sequence[Start]) -> str:
    """A run's state is that of its replicas: one that serves is enough."""
    if _serving(_split(run, live)[1]):
        return states.UPDATING
    if any(replica.state == states.RUNNING for replica in live):
        return states.RUNNING
    if live or starts:
        return states.PROVISIONING
    return states.FAILED if run.desired else states.IDLE


def _starts(
    run: RunFacts, replicas: Sequence[ReplicaFacts], *, missing: int, at: datetime
) -> list[Start]:
    slots = _slots(run, replicas)
    starts: list[Start] = []
    num = 0
    while missing > 0:
        if num not in slots.unfinished:
            start = _start(run, num, slots, at=at)
            starts += [start] if start else []
            missing -= 1
        num += 1
    return starts


def _slots(run: RunFacts, replicas: Sequence[ReplicaFacts]) -> _Slots:
    slots = _Slots()
    for replica in replicas:
        if replica.version == run.version:
            slots.newest[replica.num] = replica
            if replica.ready_at is not None:
                slots.served[replica.num] = replica
        if replica.state not in REPLICA.final:
            slots.unfinished.add(replica.num)
    return slots


def _start(run: RunFacts, num: int, slots: _Slots, *, at: datetime) -> Start | None:
    last = slots.newest.get(num)
    ended_well = last is None or last.state != states.FAILED and last.exit_reason != HOST_STOPPED
    if last is None or ended_well or not last.finished_at:
        return Start(num)
    if last.finished_at < run.failures_counted_since:
        return Start(num)
    if not may_follow(run, last, served=slots.served.get(num)):
        return None
    if last.exit_reason in OF_MACHINE:
        return Start(num, attempt=last.attempt)
    attempt = 0 if _proven(last) else last.attempt
    pause = BACKOFF.after(attempt)
    if last.exit_reason in NO_PLACE and _was_ready(run, slots.served.get(num)):
        pause = min(pause, PLACE_MOST)
    return Start(num, attempt=attempt + 1, not_before=last.finished_at + pause)


def _was_ready(run: RunFacts, served: ReplicaFacts | None) -> bool:
    return run.was_ready or served is not None


def may_follow(run: RunFacts, failed: ReplicaFacts, *, served: ReplicaFacts | None = None) -> bool:
    """Tell whether a failed replica is replaced.

    What went down with its host is, whatever `retry` says; one that was ready once is too, and one
    that found no place between two of a run that was ready. One that never got ready is only where
    `retry` covers it, or where scaling wants it. The time of `retry`
    begins when the replica of its number that `served` last was gone, else when replicas were asked
    for: what ran for days is no less worth a retry.
    """
    if run.autoscaled or failed.exit_reason in OF_MACHINE or failed.ready_at is not None:
        return True
    if failed.exit_reason in NO_PLACE and _was_ready(run, served):
        return True
    event = NO_CAPACITY if failed.exit_reason in NO_PLACE else "error"
    if event not in run.retry_on or failed.finished_at is None:
        return False
    gone_at = served.finished_at if served is not None else None
    since = max(run.failures_counted_since, gone_at or run.failures_counted_since)
    return run.retry_for is None or failed.finished_at - since <= run.retry_for


def _proven(replica: ReplicaFacts) -> bool:
    if replica.ready_at is None or replica.finished_at is None:
        return False
    return replica.finished_at - replica.ready_at >= PROVEN


def _excess(live: Sequence[ReplicaFacts], count: int) -> list[ReplicaFacts]:
    """Replicas to retire first: those that do not serve, newest first; then those with the fewest
    requests, again the newest first. `live` are oldest first."""
    newest_first = list(reversed(live))
    newest_first.sort(key=lambda r: 1 + r.in_flight if r.state == states.RUNNING else 0)
    return newest_first[: max(count, 0)]


def _last_failure(replicas: Sequence[ReplicaFacts]) -> str:
    failed = [replica for replica in replicas if replica.state == states.FAILED]
    return failed[-1].message if failed else "no replica is left and none may start"
