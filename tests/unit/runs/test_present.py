from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.core.models import Event
from apps.core.state_machine import Machine
from apps.runs.models import Replica, Run
from apps.runs.pages import view_models
from apps.runs.scale.desired_replicas import SCALING
from apps.runs.states import REPLICA, RUN

AT = datetime(2030, 1, 1, tzinfo=UTC)


def event(
    new: str, *, after: float = 0, old: str = "x", of: UUID, label: str = "replica 0"
) -> Event:
    at = AT + timedelta(seconds=after)
    return Event(state_machine="replica", object_id=of, old=old, new=new, label=label, at=at)


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
    (start,) = view_models.starts(started(uuid4()), at=AT)

    assert [(p.key, p.length.total_seconds()) for p in start.phases] == [
        ("offer", 1),
        ("machine", 2),
        ("app", 7),
    ]
    assert (start.is_ready, start.total) == (True, timedelta(seconds=10))


def machine_event(new: str, *, after: float, old: str = "x") -> Event:
    at = AT + timedelta(seconds=after)
    return Event(state_machine="instance", object_id=uuid4(), old=old, new=new, at=at)


def placed(of: UUID) -> Event:
    """The beginning of the workload of replica 0."""
    at = AT + timedelta(seconds=1)
    return Event(state_machine="workload", object_id=of, old="", new="assigned", label="hello-0",
                 at=at)  # fmt: skip


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (
            [("requested", 1), ("creating", 1.2), ("booting", 1.5), ("ready", 2.5)],
            [("offer", 1), ("creating", 0.5), ("booting", 1), ("machine", 0.5), ("app", 7)],
        ),
        # Its agent was as fast as its workload.
        (
            [("requested", 1), ("booting", 1.5), ("ready", 3)],
            [("offer", 1), ("creating", 0.5), ("booting", 1.5), ("app", 7)],
        ),
        # It was there before: nothing of it was made for this replica.
        (
            [("requested", -9), ("creating", -8), ("booting", -7), ("ready", -5)],
            [("offer", 1), ("machine", 2), ("app", 7)],
        ),
        ([], [("offer", 1), ("machine", 2), ("app", 7)]),
    ],
)
def test_a_machine_that_was_made_for_it_has_phases_of_its_own(
    happened: list[tuple[str, float]], expected: list[tuple[str, float]]
) -> None:
    of, workload = uuid4(), uuid4()
    events = [*started(of), placed(workload)]
    machine = [machine_event(new, after=after) for new, after in happened]

    (start,) = view_models.starts(events, at=AT, machine_of={workload: machine})

    assert [(p.key, p.length.total_seconds()) for p in start.phases] == expected


def test_a_machine_that_still_boots_is_an_open_phase() -> None:
    of, workload = uuid4(), uuid4()
    events = [*started(of)[-2:], placed(workload)]
    machine = [machine_event("requested", after=1), machine_event("booting", after=2)]

    (start,) = view_models.starts(
        events, at=AT + timedelta(seconds=9), machine_of={workload: machine}
    )

    assert [(p.key, p.length.total_seconds(), p.is_open) for p in start.phases] == [
        ("offer", 1, False),
        ("creating", 1, False),
        ("booting", 7, True),
    ]


def test_lays_the_phases_end_to_end() -> None:
    (start,) = view_models.starts(started(uuid4()), at=AT)

    assert [(p.left, p.width) for p in start.phases] == [(0, 100), (100, 200), (300, 700)]


def test_a_phase_that_is_not_over_lasts_until_now() -> None:
    of = uuid4()
    events = newest_first(event("pending", old="", of=of), event("starting", after=2, of=of))

    (start,) = view_models.starts(events, at=AT + timedelta(seconds=6))

    assert start.phases[-1].is_open
    assert (start.is_ready, start.phases[-1].length) == (False, timedelta(seconds=4))


def test_leaves_out_a_start_whose_begin_is_not_known() -> None:
    assert view_models.starts([event("running", of=uuid4())], at=AT) == []


def test_shows_the_newest_starts_only() -> None:
    events = [one for _ in range(5) for one in started(uuid4())]

    assert len(view_models.starts(events, at=AT, most=3)) == 3


def test_the_newest_start_is_that_which_began_last() -> None:
    old, new, newest = uuid4(), uuid4(), uuid4()
    events = newest_first(
        event("pending", old="", of=old, label="replica 0"),
        event("starting", after=1, of=old, label="replica 0"),
        event("pending", after=2, old="", of=new, label="replica 1"),
        event("pending", after=3, old="", of=newest, label="replica 2"),
        event("starting", after=4, of=new, label="replica 1"),
        event("stopped", after=5, of=old, label="replica 0"),
    )

    def labels(**wanted: Any) -> list[str]:
        return [start.label for start in view_models.starts(events, at=AT, **wanted)]

    assert labels() == ["replica 2", "replica 1", "replica 0"]
    # The one that a sentence is about comes first.
    assert labels(first=new, most=2) == ["replica 1", "replica 2"]


def test_tells_the_time_until_ready_once() -> None:
    of = uuid4()
    again = [event("running", after=60, old="unhealthy", of=of), *started(of)]

    texts = [one.text for one in view_models.happenings(again)]

    assert texts[0] == "Replica 0 is ready"
    assert "Replica 0 is ready after 10 s" in texts


@pytest.mark.parametrize("machine", [RUN, REPLICA], ids=lambda machine: machine.name)
def test_colours_a_line_as_the_state_is_coloured(machine: Machine) -> None:
    events = [
        Event(state_machine=machine.name, object_id=uuid4(), old="x", new=state, at=AT)
        for state in machine.states
    ]

    tones = [one.tone for one in view_models.happenings(events)]

    assert tones == [machine.looks[state].tone for state in machine.states]


@pytest.mark.parametrize(
    ("old", "new", "tone"), [("2", "4", "blue"), ("4", "2", ""), ("4", "4", "amber")]
)
def test_colours_a_decision_by_what_follows_from_it(old: str, new: str, tone: str) -> None:
    decision = Event(
        state_machine=SCALING, object_id=uuid4(), old=old, new=new, reason="x: y", at=AT
    )

    (one,) = view_models.happenings([decision])

    assert one.tone == tone


@pytest.mark.parametrize(
    ("old", "new", "reason", "actor", "shown"),
    [
        ("2", "3", "updated to version 3: port, env.A", "alice",
         ("blue", "alice updated to version 3", "port, env.A")),
        ("3", "4", "rolled back to version 1, as version 4: port", "bob",
         ("blue", "bob rolled back to version 1, as version 4", "port")),
        ("3", "2", "version 3 was given up, version 2 goes on: exited: boom", "",
         ("amber", "Version 3 was given up, version 2 goes on", "exited: boom")),
    ],
)  # fmt: skip
def test_says_who_brought_another_version(
    old: str, new: str, reason: str, actor: str, shown: tuple[str, str, str]
) -> None:
    told = Event(
        state_machine="version", object_id=uuid4(), old=old, new=new, reason=reason, actor=actor,
        at=AT,
    )  # fmt: skip

    (one,) = view_models.happenings([told])

    assert (one.tone, one.text, one.reason, one.actor) == (*shown, "")


def test_what_a_person_asked_for_that_changes_no_number_is_no_warning() -> None:
    told = Event(
        state_machine=SCALING, object_id=uuid4(), old="1", new="1", actor="bob", at=AT,
        reason="stays 1: asked for 0 to 8 replicas",
    )  # fmt: skip

    (one,) = view_models.happenings([told])

    assert (one.tone, one.text, one.reason, one.actor) == (
        "", "Scaling: stays 1", "asked for 0 to 8 replicas", "bob"
    )  # fmt: skip


def test_leaves_out_what_only_machines_care_about() -> None:
    noise = Event(state_machine="workload", object_id=uuid4(), new="running", at=AT)

    assert view_models.happenings([noise]) == []


def test_says_nothing_of_a_service_that_is_fine() -> None:
    run = Run(state="running", spec={})
    old = Replica(state="failed", message="exited", created_at=AT)

    assert view_models.why(run, [old, Replica(state="running")]) == ""


def test_says_what_the_last_try_of_a_service_that_never_got_ready_ended_with() -> None:
    run = Run(state="provisioning", spec={})
    first = Replica(state="failed", message="first", created_at=AT)
    second = Replica(state="failed", message="second", created_at=AT + timedelta(seconds=1))

    assert view_models.why(run, [second, first]) == "The last try failed: second"


def test_says_what_a_replica_was_answering_when_it_ended() -> None:
    of = uuid4()
    told = Event(
        state_machine="request",
        object_id=of,
        new="unanswered",
        reason="exited while it answered GET /die",
        label="replica 0",
        at=AT + timedelta(seconds=70),
    )

    newest, *before = view_models.happenings([told, *started(of)])

    assert (newest.text, newest.reason) == ("Replica 0 exited while it answered GET /die", "")
    assert [each.text for each in before][1] == "Replica 0 is ready after 10 s"
