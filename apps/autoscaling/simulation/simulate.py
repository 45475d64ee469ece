"""A service under a load, second by second, scaled by a rule. Pure.

The model: a replica is ready `start_seconds` after it is desired and answers `capacity` requests a
second; what it cannot answer waits. Without a ready replica requests are held, so many and so long
at most; what does not fit or waits longer fails. A replica that goes away ends at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.autoscaling.simulation.rules import Rule, Seen
from apps.telemetry.traffic.points import Point

KEPT_POINTS = 120


@dataclass(frozen=True)
class Service:
    capacity: float = 20
    start_seconds: int = 10
    hold_requests: int = 1000
    hold_seconds: int = 600


@dataclass(frozen=True)
class Moment:
    """One second: what came, how many replicas there were, and what became of the requests."""

    second: int
    rps: float
    desired: int
    ready: int
    answered: int
    waiting: int
    held: int
    failed: int
    longest_wait: int
    reason: str = ""


@dataclass
class _World:
    desired: int
    ready_at: list[int] = field(default_factory=list)
    queue: deque[tuple[int, int]] = field(default_factory=deque)
    carried: float = 0.0
    could: float = 0.0


def simulate(rule: Rule, service: Service, trace: Sequence[float], *, least: int) -> list[Moment]:
    """Replay the trace, beginning with `least` replicas; a moment a second."""
    world = _World(desired=least, ready_at=[0] * least)
    points, arrivals = deque[Point](maxlen=KEPT_POINTS), deque[int](maxlen=KEPT_POINTS)
    moments = []
    for second, rps in enumerate(trace):
        ready = sum(at <= second for at in world.ready_at)
        arrived, failed = _arrive(world, service, second, rps, takes=ready > 0 or rule.holds)
        answered, longest = _answer(world, service, second, ready)
        waiting = sum(count for _, count in world.queue)
        held = waiting if ready == 0 else 0
        points.append(Point(float(second), 1.0, answered, waiting - held, held))
        arrivals.append(arrived)
        seen = Seen(second, world.desired, ready, held, list(points), list(arrivals))
        step, reason = rule.look(seen), ""
        if step is not None and step.desired != world.desired:
            reason = step.reason
            _scale(world, service, step.desired, second)
        numbers = (world.desired, ready, answered, waiting, held, failed, longest)
        moments.append(Moment(second, rps, *numbers, reason))
    return moments


def _arrive(
    world: _World, service: Service, second: int, rps: float, *, takes: bool
) -> tuple[int, int]:
    """Return how many came, and how many failed: they did not fit, or waited too long."""
    world.carried += rps
    arrived = int(world.carried)
    world.carried -= arrived
    late = 0
    while world.queue and second - world.queue[0][0] > service.hold_seconds:
        late += world.queue.popleft()[1]
    room = service.hold_requests - sum(count for _, count in world.queue)
    # What replicas can answer within the second needs no place to wait.
    room += int(service.capacity * sum(at <= second for at in world.ready_at))
    taken = min(arrived, max(room, 0)) if takes else 0
    if taken:
        world.queue.append((second, taken))
    return arrived, arrived - taken + late


def _answer(world: _World, service: Service, second: int, ready: int) -> tuple[int, int]:
    world.could = min(world.could, 1.0) + ready * service.capacity
    answered = longest = 0
    while world.queue and world.could >= 1:
        since, count = world.queue.popleft()
        now = min(count, int(world.could))
        world.could -= now
        answered += now
        longest = max(longest, second - since)
        if now < count:
            world.queue.appendleft((since, count - now))
    return answered, longest


def _scale(world: _World, service: Service, desired: int, second: int) -> None:
    missing = desired - len(world.ready_at)
    world.ready_at += [second + service.start_seconds] * max(missing, 0)
    # The newest go first: those that are not ready yet.
    world.ready_at = sorted(world.ready_at)[:desired]
    world.desired = desired
