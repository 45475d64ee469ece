from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from apps.core.models import Event
from apps.runs import present
from apps.runs.models import Replica, Run

AT = datetime(2030, 1, 1, tzinfo=UTC)


def event(
    new: str, *, after: float = 0, old: str = "x", of: UUID, label: str = "replica 0"
) -> Event:
    at = AT + timedelta(seconds=after)
    return Event(machine="replica", object_id=of, old=old, new=new, label=label, at=at)


def newest_first(*events: Event) -> list[Event]:
    return list(reversed(events))


def started(of: UUID) -> list[Event]:
    return newest_first(
        event("pending", old="", of=of),
        event("provisioning", after=1, of=of),
        event("starting", after=3, of=of),
        event("running", after=10, of=of),
        event("unhealthy", after=50, of=of),
    )


def test_divides_a_start_into_its_phases() -> None:
    (start,) = present.starts(started(uuid4()), at=AT)

    assert [(p.key, p.length.total_seconds()) for p in start.phases] == [
        ("offer", 1),
        ("machine", 2),
        ("app", 7),
    ]
    assert (start.is_ready, start.total) == (True, timedelta(seconds=10))


def test_lays_the_phases_end_to_end() -> None:
    (start,) = present.starts(started(uuid4()), at=AT)

    assert [(p.left, p.width) for p in start.phases] == [(0, 100), (100, 200), (300, 700)]


def test_a_phase_that_is_not_over_lasts_until_now() -> None:
    of = uuid4()
    events = newest_first(event("pending", old="", of=of), event("starting", after=2, of=of))

    (start,) = present.starts(events, at=AT + timedelta(seconds=6))

    assert start.phases[-1].is_open
    assert (start.is_ready, start.phases[-1].length) == (False, timedelta(seconds=4))


def test_leaves_out_a_start_whose_begin_is_not_known() -> None:
    assert present.starts([event("running", of=uuid4())], at=AT) == []


def test_shows_the_newest_starts_only() -> None:
    events = [one for _ in range(5) for one in started(uuid4())]

    assert len(present.starts(events, at=AT, most=3)) == 3


def test_tells_the_time_until_ready_once() -> None:
    of = uuid4()
    again = [event("running", after=60, old="unhealthy", of=of), *started(of)]

    texts = [one.text for one in present.happenings(again)]

    assert texts[0] == "Replica 0 is ready"
    assert "Replica 0 is ready after 10 s" in texts


def test_leaves_out_what_only_machines_care_about() -> None:
    noise = Event(machine="workload", object_id=uuid4(), new="running", at=AT)

    assert present.happenings([noise]) == []


def test_says_nothing_of_a_service_that_is_fine() -> None:
    run = Run(state="running")
    old = Replica(state="failed", message="exited", created_at=AT)

    assert present.why(run, [old, Replica(state="running")]) == ""


def test_says_what_the_last_try_of_a_service_that_never_got_ready_ended_with() -> None:
    run = Run(state="provisioning")
    first = Replica(state="failed", message="first", created_at=AT)
    second = Replica(state="failed", message="second", created_at=AT + timedelta(seconds=1))

    assert present.why(run, [second, first]) == "The last try failed: second"
