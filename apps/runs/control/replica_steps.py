"""What one replica does next. Pure: plain data and a time in, a step out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.agent.wire import AGENT_STOPPED, REASON_ENGINE_AWAY
from apps.runs import states
from apps.runs.control.decide import HOST_STOPPED, INTERRUPTED, NO_BACKEND, NO_CAPACITY, NO_REGION

# Its machine never came to be; with the second, no other of that backend would either. The third:
# it never called. The last: it is there, but nothing on it that runs containers.
NOT_BOOTED = "not-booted"
NEVER_MADE = (NO_CAPACITY, NO_BACKEND, NO_REGION, NOT_BOOTED, REASON_ENGINE_AWAY)


@dataclass(frozen=True)
class WorkloadFacts:
    """A replica's workload as its agent last said; `asked_to_stop` is what we want of it.

    With `waits` its container engine is away, with `lost` its machine is silent: nothing can be
    said of it for now. `interrupted`: its cloud takes its spot machine back. With
    `unreached` its gateway does not reach it yet, by the tunnel that it needs; it did until
    `cut_at`.
    """

    state: str
    ready: bool | None
    asked_to_stop: bool
    exit_reason: str = ""
    exit_code: int | None = None
    message: str = ""
    probe_message: str = ""
    waits: bool = False
    lost: bool = False
    interrupted: bool = False
    unreached: bool = False
    cut_at: datetime | None = None


@dataclass(frozen=True)
class Step:
    """`to` is the new state (None: stay); `stop` ends the workload, `place` wants a place.

    `hurry`: its machine is about to end, and leaves it no more time than LAST_MOMENTS.
    """

    to: str | None = None
    reason: str = ""
    exit_reason: str = ""
    stop: bool = False
    place: bool = False
    hurry: bool = False
    next_check_at: datetime | None = None


@dataclass(frozen=True)
class Timing:
    """`ends_at` is when its cloud ends its machine, None where it does not."""

    state_at: datetime
    not_before: datetime | None
    deadline_at: datetime | None
    drained_at: datetime | None
    stop_duration: timedelta
    ends_at: datetime | None = None


# A replica at rest is looked at by the minute, one that is on its way somewhere every 5 s: that is
# what a lost hint costs.
RESYNC_INTERVAL = timedelta(seconds=60)
# Out of rotation this long, a replica is ended; having served once, it is replaced with backoff.
UNHEALTHY_FOR = timedelta(minutes=2)
# A tunnel is opened again within seconds: cut this long, it puts its replica out of rotation.
TUNNEL_AWAY_FOR = timedelta(seconds=30)
# One whose engine is away is waited for, as for a host that is away; then it is replaced.
ENGINE_GIVEN_UP = timedelta(minutes=10)
POLL_INTERVAL = timedelta(seconds=5)
TUNNEL, TUNNEL_CUT = "waiting for the tunnel", "its gateway reaches it no more: its tunnel is cut"
MACHINE_LOST = "its machine does not report"
TAKEN_BACK = "its cloud took its spot machine back"
# What a process gets to end in before its machine ends.
LAST_MOMENTS = timedelta(seconds=5)


def advance(state: str, workload: WorkloadFacts | None, timing: Timing, *, at: datetime) -> Step:
    """Say what one replica does next."""
    if state == states.PENDING:
        return _pending(timing, at)
    if workload is None:
        if state == states.DRAINING:
            return Step(states.STOPPED)
        return Step(states.FAILED, "its machine is gone", HOST_STOPPED)
    if workload.state == "exited":
        return _exited(state, workload, timing, at)
    if state == states.DRAINING:
        return _draining(workload, timing, at)
    if state in (states.PROVISIONING, states.STARTING):
        return _starting(state, workload, timing, at)
    return _watched(state, workload, timing, at)


def _pending(timing: Timing, at: datetime) -> Step:
    if timing.not_before is not None and timing.not_before > at:
        return Step(next_check_at=timing.not_before)
    return Step(place=True)


def _exited(state: str, workload: WorkloadFacts, timing: Timing, at: datetime) -> Step:
    taken = workload.interrupted
    if state == states.DRAINING:
        said = (TAKEN_BACK, INTERRUPTED) if taken else (workload.message, "")
        return Step(states.STOPPED, *said)
    if taken and workload.exit_reason == HOST_STOPPED:
        return Step(states.FAILED, TAKEN_BACK, INTERRUPTED)
    if workload.exit_reason == HOST_STOPPED and workload.message.startswith(AGENT_STOPPED):
        # Somebody ended the server, or the agent: that is no failure, and it is replaced.
        return Step(states.STOPPED, workload.message, HOST_STOPPED)
    if workload.exit_reason in NEVER_MADE:
        late = timing.deadline_at is not None and at >= timing.deadline_at
        if state == states.PROVISIONING and not late:
            return Step(states.PENDING, workload.message, next_check_at=at)
        is_broken = workload.exit_reason in (NO_BACKEND, NO_REGION)
        reason = NO_BACKEND if is_broken else NO_CAPACITY
        return Step(states.FAILED, workload.message, reason)
    return Step(states.FAILED, workload.message, workload.exit_reason)


def _draining(workload: WorkloadFacts, timing: Timing, at: datetime) -> Step:
    over = timing.state_at + timing.stop_duration
    if timing.ends_at is not None:
        over = min(over, timing.ends_at - LAST_MOMENTS)
    if timing.drained_at is not None or at >= over:
        hurry = timing.ends_at is not None
        stop = not workload.asked_to_stop
        return Step(stop=stop, hurry=hurry, next_check_at=at + POLL_INTERVAL)
    return Step(next_check_at=min(over, at + POLL_INTERVAL))


def _starting(state: str, workload: WorkloadFacts, timing: Timing, at: datetime) -> Step:
    if workload.ready and not workload.unreached:
        return Step(states.RUNNING, workload.probe_message, next_check_at=at + RESYNC_INTERVAL)
    if timing.deadline_at is not None and at >= timing.deadline_at:
        said = TUNNEL if workload.unreached else workload.probe_message
        why = f": {said}" if said else ""
        reason = HOST_STOPPED if workload.waits else "error"
        return Step(states.FAILED, f"not ready within its deadline{why}", reason, stop=True)
    soon = min(timing.deadline_at or at + POLL_INTERVAL, at + POLL_INTERVAL)
    if state == states.PROVISIONING and workload.state in ("pulling", "running"):
        return Step(states.STARTING, next_check_at=soon)
    return Step(next_check_at=soon)


def _watched(state: str, workload: WorkloadFacts, timing: Timing, at: datetime) -> Step:
    if workload.lost:
        # It may serve all the same; the machine's own life says when it is given up.
        to = states.UNHEALTHY if state == states.RUNNING else None
        return Step(to, MACHINE_LOST if to else "", next_check_at=at + RESYNC_INTERVAL)
    if state == states.RUNNING and workload.ready is False:
        return Step(states.UNHEALTHY, workload.probe_message, next_check_at=at + RESYNC_INTERVAL)
    if state == states.RUNNING and workload.cut_at is not None:
        over = workload.cut_at + TUNNEL_AWAY_FOR
        if at >= over:
            return Step(states.UNHEALTHY, TUNNEL_CUT, next_check_at=at + RESYNC_INTERVAL)
        return Step(next_check_at=over)
    if state == states.UNHEALTHY and workload.ready and workload.cut_at is None:
        return Step(states.RUNNING, "it answers again", next_check_at=at + RESYNC_INTERVAL)
    return _out_of_rotation(state, workload, timing, at)


def _out_of_rotation(state: str, workload: WorkloadFacts, timing: Timing, at: datetime) -> Step:
    if state == states.UNHEALTHY:
        since = timing.state_at
        if workload.cut_at is not None and _lacks_tunnel_alone(workload):
            since = max(since, workload.cut_at)
        over = since + (ENGINE_GIVEN_UP if workload.waits else UNHEALTHY_FOR)
        if at >= over and workload.waits:
            minutes = ENGINE_GIVEN_UP.seconds // 60
            why = f"its container engine has been away for {minutes} minutes"
            return Step(states.FAILED, why, HOST_STOPPED, stop=True)
        if at >= over:
            # A tunnel is its machine's, not the service's.
            reason = HOST_STOPPED if _lacks_tunnel_alone(workload) else "error"
            return Step(states.FAILED, _sick(workload), reason, stop=True)
        return Step(next_check_at=min(over, at + RESYNC_INTERVAL))
    return Step(next_check_at=at + RESYNC_INTERVAL)


def _sick(workload: WorkloadFacts) -> str:
    said = TUNNEL_CUT if _lacks_tunnel_alone(workload) else workload.probe_message
    why = f": {said}" if said else ""
    return f"unhealthy for {UNHEALTHY_FOR.seconds // 60} minutes{why}"


def _lacks_tunnel_alone(workload: WorkloadFacts) -> bool:
    return workload.cut_at is not None and bool(workload.ready)
