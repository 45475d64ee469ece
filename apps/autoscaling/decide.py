"""How many replicas a service should have. Pure: plain data in, plain data out.

Demand is measured over two windows, as in Knative's KPA: a stable one (`window`, 60 s) and a panic
one a tenth as long (6 s).

- `rps`: requests that arrived, per second. The gateway counts answers, so arrivals are the answers
  of the window and what is outstanding at its end beyond what was at its begin.
- `concurrency`: requests in flight and held, averaged over time.

`needed = ceil(demand / target)`, within the range of the spec. Then:

- panic: `needed` of the panic window is twice the ready replicas or more (Knative's
  `panic-threshold-percentage: 200`). Up at once to the larger of both windows, never down until the
  panic has been over for one stable window.
- step: the panic window sees a step late, since it averages over what was before. So the last 1 and
  2 s count as panic windows too, with what they are sure to show: of n requests two standard
  deviations are taken off (n - 2 sqrt(n), as of a Poisson process), which chance rarely exceeds.
- up: `needed` of the stable window is more than desired, for `scale_up_delay` (0 s).
- down: to the most that the stable window needed at any time in the last `scale_down_delay`
  (300 s): the stabilisation window of Kubernetes' HorizontalPodAutoscaler, with its default.
- to zero: where the range begins at 0, when nothing was asked for `scale_to_zero_delay`
  (`scale_down_delay` unless set). One request in flight or held keeps a service awake.
- from zero: at once, when a request is held; nothing else wakes a service.

Wanted counts replicas that are still starting, so waiting for them never adds more. No fresh data
means hold: the same number, and the patience for going down begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from apps.telemetry.traffic.points import Point

# Knative's panic-window-percentage (10) and panic-threshold-percentage (200).
PANIC_SHARE = 0.1
PANIC_TIMES = 2
STEP_SECONDS = (1.0, 2.0)
STEP_DEVIATIONS = 2.0
# A gateway looks every second; one that was not heard for so long says nothing about now.
STALE_SECONDS = 5.0
# The memory of what was needed is kept in so many slots over `scale_down_delay`.
SLOTS = 10

STEADY, UP, PANIC, DOWN = "steady", "up", "panic", "down"
WAKE, IDLE, LIMIT, BLIND, RANGE = "wake", "idle", "limit", "blind", "range"
# Its project's limit on machines, where `limit` is the most replicas of the service.
PROJECT = "project"


@dataclass(frozen=True)
class Policy:
    """`scaling` and `replicas` of the spec."""

    metric: str
    target: float
    least: int
    most: int
    window_seconds: float = 60
    up_delay_seconds: float = 0
    down_delay_seconds: float = 300
    zero_delay_seconds: float = 300

    @property
    def panic_seconds(self) -> float:
        return max(self.window_seconds * PANIC_SHARE, 2.0)


@dataclass(frozen=True)
class Memory:
    """What one look hands to the next; times are in seconds since 1970.

    `watched_since`: since when demand is known without a gap. `active_at`: the last look with a
    request. `peaks`: the most that was needed in each slot of time, oldest first.
    """

    watched_since: float | None = None
    active_at: float | None = None
    panic_until: float | None = None
    above_since: float | None = None
    peaks: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class Facts:
    """`set_by_person_at` is when a person last set the number: it stands for `scale_down_delay`."""

    desired: int
    ready: int
    points: Sequence[Point]
    set_by_person_at: float = 0


@dataclass(frozen=True)
class Verdict:
    desired: int
    kind: str
    reason: str
    memory: Memory


@dataclass(frozen=True)
class _Demand:
    value: float
    seconds: float
    needed: int
    sure: float | None = None


def decide(policy: Policy, facts: Facts, memory: Memory, *, at: float) -> Verdict:
    """Say how many replicas a service should have at `at`, and why."""
    if not policy.least <= facts.desired <= policy.most:
        return _brought_within(policy, facts, memory)
    if not facts.points or at - facts.points[-1].at > STALE_SECONDS:
        words = f"stays at {facts.desired}: no figures from the gateway"
        return Verdict(facts.desired, BLIND, words, replace(memory, watched_since=None, peaks=()))
    if facts.desired == 0:
        return _asleep(policy, facts, memory, at=at)
    stable = _demand(policy, facts.points, policy.window_seconds, at=at)
    panic = _panic(policy, facts.points, at=at)
    memory = _remember(policy, facts, memory, stable, panic, at=at)
    return _awake(policy, facts, memory, stable, panic, at=at)


def wake(policy: Policy, desired: int) -> Verdict | None:
    """Say what a held request changes at once; None is nothing."""
    if desired > 0 or policy.most == 0:
        return None
    woken = max(policy.least, 1)
    return Verdict(woken, WAKE, f"0 -> {woken}: a request is held", Memory())


def bounded(verdict: Verdict, *, seen: int, most: int, why: str) -> Verdict:
    """Return the verdict on a run that has `seen` replicas, with no more than `most` of them, since
    its project may have no machine beyond: `why` says what bounds it."""
    to = max(min(verdict.desired, most), seen)
    if verdict.desired <= to or verdict.kind == RANGE:
        return verdict
    _, _, demand = verdict.reason.partition(": ")
    begin = f"{seen} -> {to}" if to > seen else f"stays at {seen}"
    words = f"{begin}, limited by the project: {demand}, needs {verdict.desired}; {why}"
    return replace(verdict, desired=to, kind=verdict.kind if to > seen else PROJECT, reason=words)


def _brought_within(policy: Policy, facts: Facts, memory: Memory) -> Verdict:
    desired = min(max(facts.desired, policy.least), policy.most)
    words = f"{facts.desired} -> {desired}: the service scales in {policy.least}..{policy.most}"
    return Verdict(desired, RANGE, words, memory)


def _asleep(policy: Policy, facts: Facts, memory: Memory, *, at: float) -> Verdict:
    held = facts.points[-1].outstanding
    memory = Memory(watched_since=memory.watched_since or at)
    if held == 0 or policy.most == 0:
        return Verdict(0, IDLE, "asleep: nothing is asked", memory)
    needed = math.ceil(held / policy.target) if policy.metric == "concurrency" else 1
    desired = min(max(needed, policy.least, 1), policy.most)
    return Verdict(desired, WAKE, f"0 -> {desired}: {_count(held)} held", memory)


def _count(requests: int) -> str:
    return "1 request is" if requests == 1 else f"{requests:,} requests are"


def _panic(policy: Policy, points: Sequence[Point], *, at: float) -> _Demand:
    """The panic window, or a step that is not seen in it yet."""
    window = _demand(policy, points, policy.panic_seconds, at=at)
    # The looks of a gateway are about a second apart, and none ends exactly now.
    since = points[-1].at + 0.5
    steps = [
        _sure(policy, _demand(policy, points, seconds, at=since))
        for seconds in STEP_SECONDS
        if seconds < policy.panic_seconds
    ]
    return max(window, *steps, key=lambda demand: demand.needed) if steps else window


def _sure(policy: Policy, demand: _Demand) -> _Demand:
    """What of a short window's demand is no chance."""
    # Requests in the window, or, for `concurrency`, requests at once.
    count = demand.value * (demand.seconds if policy.metric == "rps" else 1.0)
    share = max(1 - STEP_DEVIATIONS / math.sqrt(count), 0.0) if count > 0 else 0.0
    sure = demand.value * share
    return replace(demand, needed=math.ceil(sure / policy.target - 1e-6), sure=sure)


def _demand(policy: Policy, points: Sequence[Point], seconds: float, *, at: float) -> _Demand:
    inside = [point for point in points if point.at > at - seconds]
    inside = inside or [points[-1]]
    before = points[: len(points) - len(inside)]
    covered = sum(point.seconds for point in inside)
    if policy.metric == "concurrency":
        value = sum(point.outstanding * point.seconds for point in inside) / covered
    else:
        # Without a look from before the window, what is outstanding may be old.
        begin = before[-1].outstanding if before else inside[0].outstanding
        arrived = sum(point.answered for point in inside) + inside[-1].outstanding - begin
        # Callers that left unanswered make it too few, at worst.
        value = max(arrived, 0) / covered
    # A hair above the target is no reason for one more: figures are averages of whole requests.
    needed = math.ceil(value / policy.target - 1e-6)
    if inside[-1].outstanding:
        needed = max(needed, 1)
    return _Demand(value, min(seconds, covered), needed)


def _remember(
    policy: Policy, facts: Facts, memory: Memory, stable: _Demand, panic: _Demand, *, at: float
) -> Memory:
    panicking = memory.panic_until
    if panic.needed >= PANIC_TIMES * max(facts.ready, 1):
        # Written anew only once a good part has passed, not with every look.
        if panicking is None or panicking < at + policy.window_seconds / 2:
            panicking = at + policy.window_seconds
    elif panicking is not None and panicking <= at:
        panicking = None
    above = memory.above_since or at if stable.needed > facts.desired else None
    return Memory(
        watched_since=memory.watched_since or at,
        active_at=_active_at(memory, facts.points),
        panic_until=panicking,
        above_since=above,
        peaks=_peaks(policy, memory.peaks, stable.needed, at=at),
    )


def _active_at(memory: Memory, points: Sequence[Point]) -> float | None:
    if not points[-1].is_quiet:
        return memory.active_at  # it goes on; noted when it ends, not with every look
    active = [point.at for point in points if not point.is_quiet]
    return max([*active[-1:], memory.active_at or 0]) or None


def _peaks(
    policy: Policy, peaks: tuple[tuple[float, int], ...], needed: int, *, at: float
) -> tuple[tuple[float, int], ...]:
    width = max(policy.down_delay_seconds / SLOTS, 1.0)
    slot = at // width * width
    kept = [
        (start, most) for start, most in peaks if start + width > at - policy.down_delay_seconds
    ]
    if kept and kept[-1][0] >= slot:
        kept[-1] = (kept[-1][0], max(kept[-1][1], needed))
    else:
        kept.append((slot, needed))
    return tuple(kept)


def _awake(
    policy: Policy, facts: Facts, memory: Memory, stable: _Demand, panic: _Demand, *, at: float
) -> Verdict:
    desired = facts.desired
    if memory.panic_until is not None:
        most = max(stable, panic, key=lambda demand: demand.needed)
        return _upwards(policy, desired, most, PANIC, memory)
    if stable.needed > desired:
        patient = memory.above_since is not None
        if patient and at - (memory.above_since or at) >= policy.up_delay_seconds:
            return _upwards(policy, desired, stable, UP, memory)
        return Verdict(desired, STEADY, _steady(policy, desired, stable), memory)
    return _downwards(policy, facts, memory, stable, at=at)


def _upwards(policy: Policy, desired: int, demand: _Demand, kind: str, memory: Memory) -> Verdict:
    to = min(max(demand.needed, policy.least), policy.most)
    if to > desired:
        return Verdict(to, kind, f"{desired} -> {to}: {_words(policy, demand)}", memory)
    if demand.needed > policy.most:
        words = f"stays at {desired}, its limit: {_words(policy, demand)}, needs {demand.needed}"
        return Verdict(desired, LIMIT, words, memory)
    return Verdict(desired, STEADY, _steady(policy, desired, demand), memory)


def _downwards(
    policy: Policy, facts: Facts, memory: Memory, stable: _Demand, *, at: float
) -> Verdict:
    desired = facts.desired
    if policy.least == 0 and _is_idle(policy, facts, memory, at=at):
        words = f"{desired} -> 0: nothing asked for {policy.zero_delay_seconds:g} s"
        return Verdict(0, IDLE, words, replace(memory, peaks=()))
    floor = max(policy.least, 1)
    to = max(floor, *(most for _, most in memory.peaks))
    watched = at - max(memory.watched_since or at, facts.set_by_person_at)
    if to < desired and watched >= policy.down_delay_seconds:
        words = f"{desired} -> {to}: {_words(policy, stable)}"
        if policy.down_delay_seconds:
            words += f", no more than {to} needed for {policy.down_delay_seconds:g} s"
        return Verdict(to, DOWN, words, memory)
    return Verdict(desired, STEADY, _steady(policy, desired, stable), memory)


def _is_idle(policy: Policy, facts: Facts, memory: Memory, *, at: float) -> bool:
    since = max(memory.active_at or 0, memory.watched_since or at, facts.set_by_person_at)
    return facts.points[-1].is_quiet and at - since >= policy.zero_delay_seconds


def _steady(policy: Policy, desired: int, demand: _Demand) -> str:
    return f"stays at {desired}: {_words(policy, demand)}"


def _words(policy: Policy, demand: _Demand) -> str:
    unit = "rps" if policy.metric == "rps" else "requests at once"
    sure = "" if demand.sure is None else f" ({_number(demand.sure)} for sure)"
    window = f"over {demand.seconds:.0f} s"
    return f"{_number(demand.value)} {unit} {window}{sure}, target {policy.target:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# Of so much of a window the load of GPUs must be known: figures are lost now and then.
KNOWN_SHARE = 0.9


@dataclass(frozen=True)
class Utilization:
    """`utilization_policy` of the spec."""

    least_percent: int
    window: timedelta


@dataclass(frozen=True)
class GpuUse:
    """What the GPUs of one replica did in the window: the most load that one of them had, known of
    so many seconds; `ready_at` is None where it does not serve now."""

    ready_at: datetime | None
    busiest_percent: float | None
    known_seconds: float


def is_unused(policy: Utilization, replicas: Sequence[GpuUse], *, at: datetime) -> bool:
    """Tell whether every GPU of every replica was used too little for the whole window.

    What is not known speaks for the run; so does a replica that has not served for so long.
    """
    return bool(replicas) and all(
        replica.ready_at is not None
        and replica.ready_at <= at - policy.window
        and replica.busiest_percent is not None
        and replica.busiest_percent < policy.least_percent
        and replica.known_seconds >= KNOWN_SHARE * policy.window.total_seconds()
        for replica in replicas
    )
