"""The one transition and the claim, on real PostgreSQL, over random histories."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.accounts.models import Project
from apps.core import notifications, sweep
from apps.core.models import Event
from apps.core.state_machine import IllegalTransition
from apps.core.transition import Change, Stale, created, transition, transition_all
from apps.runs.models import Run
from tests import factories

AT = timezone.now()
STATES = Run.state_machine.states


def make_run(state: str = "submitted") -> Run:
    return factories.run(factories.project(), state=state)


class TestHistories(TestCase):
    """Whatever is asked for, legal or not, in whatever order."""

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(wishes=st.lists(st.sampled_from(STATES), max_size=12))
    def test_writes_exactly_one_event_for_each_transition(self, wishes: list[str]) -> None:
        run = make_run()
        created(run, at=AT)

        path = ["submitted"] + [wish for wish in wishes if _moves(run, wish)]

        events = list(Event.objects.filter(object_id=run.pk).order_by("version"))
        assert [event.version for event in events] == list(range(len(path)))
        assert [event.new for event in events] == path
        assert [event.old for event in events] == ["", *path[:-1]]
        run.refresh_from_db()
        assert (run.state, run.state_version) == (path[-1], len(path) - 1)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_lets_only_the_first_of_several_workers_move_a_row(self, data: st.DataObject) -> None:
        run = make_run()
        views = [Run.objects.get(pk=run.pk) for _ in range(3)]
        targets = data.draw(st.lists(st.sampled_from(_after("submitted")), min_size=3, max_size=3))

        done = [
            transition_all([Change(view, to)], at=AT)
            for view, to in zip(views, targets, strict=True)
        ]

        assert [len(rows) for rows in done] == [1, 0, 0]
        assert [view.state for view in views] == [targets[0], "submitted", "submitted"]
        assert Event.objects.filter(object_id=run.pk).count() == 1

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stale=st.sets(st.integers(0, 5)))
    def test_changes_all_rows_but_the_stale_ones(self, stale: set[int]) -> None:
        runs = [make_run() for _ in range(6)]
        for index in stale:
            transition(Run.objects.get(pk=runs[index].pk), "provisioning", at=AT)

        done = transition_all([Change(run, "running", "ready") for run in runs], at=AT)

        assert set(done) == {run for index, run in enumerate(runs) if index not in stale}
        states = dict(Run.objects.values_list("pk", "state"))
        assert [states[run.pk] for run in runs] == [
            "provisioning" if index in stale else "running" for index in range(6)
        ]


def _after(state: str) -> list[str]:
    return sorted(Run.state_machine.edges[state])


def _moves(run: Run, to: str) -> bool:
    try:
        transition(run, to, at=AT)
    except IllegalTransition:
        return False
    return True


@pytest.mark.django_db
def test_refuses_an_edge_that_does_not_exist_and_writes_nothing() -> None:
    run = make_run("stopped")

    with pytest.raises(IllegalTransition, match="stopped -> running"):
        transition(run, "running", at=AT)

    run.refresh_from_db()
    assert (run.state, Event.objects.count()) == ("stopped", 0)


@pytest.mark.django_db
def test_tells_a_worker_that_it_was_too_late() -> None:
    run = make_run()
    late = Run.objects.get(pk=run.pk)
    transition(run, "provisioning", at=AT)

    with pytest.raises(Stale):
        transition(late, "failed", at=AT, error="never seen")

    late.refresh_from_db()
    assert (late.state, late.error) == ("provisioning", "")


@pytest.mark.django_db
def test_writes_fields_reason_and_actor_with_the_state() -> None:
    run = make_run()

    transition(run, "failed", at=AT, reason="no offer", actor="alice", error="no offer fits")

    event = Event.objects.get()
    assert Run.objects.get().error == "no offer fits"
    assert (event.reason, event.actor, event.run_id) == ("no offer", "alice", run.pk)


@pytest.mark.django_db
def test_notifies_only_after_the_commit(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    seen: list[tuple[str, str, Sequence[UUID]]] = []
    monkeypatch.setattr(notifications, "_subscribers", [lambda *args: seen.append(args)])
    run = make_run()

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        transition(run, "provisioning", at=AT)
        before_commit = list(seen)

    assert (before_commit, seen) == ([], [("run", "provisioning", [run.pk])])


@pytest.mark.django_db(transaction=True)
def test_a_subscriber_that_fails_keeps_nobody_else_from_hearing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def subscriber(state_machine: str, state: str, ids: Sequence[UUID]) -> None:
        seen.append(state)
        if state == "provisioning":
            raise RuntimeError("no broker")

    monkeypatch.setattr(notifications, "_subscribers", [subscriber])
    run = make_run()

    with transaction.atomic():
        transition(run, "provisioning", at=AT)
        transition(run, "running", at=AT)

    assert seen == ["provisioning", "running"]
    assert "no broker" in caplog.text


@pytest.mark.django_db
def test_gives_out_due_rows_longest_waiting_first() -> None:
    project = factories.project()
    minutes = [3, 1, 2]
    runs = [_due(project, AT - timedelta(minutes=each)) for each in minutes]
    _due(project, AT + timedelta(minutes=1))
    factories.run(project, state="stopped")

    assert sweep.due(Run.objects.all(), at=AT) == [runs[0].pk, runs[2].pk, runs[1].pk]


def _due(project: Project, at: datetime) -> Run:
    return factories.run(project, next_check_at=at)


@pytest.mark.django_db
def test_leases_what_it_claims_and_leaves_finished_rows() -> None:
    project = factories.project()
    live, over = factories.run(project), factories.run(project, state="stopped")

    claimed = sweep.claim(Run.objects.all(), [live.pk, over.pk], at=AT)

    assert claimed == [live]
    assert sweep.due(Run.objects.all(), at=AT) == []
    assert sweep.due(Run.objects.all(), at=AT + sweep.LEASE) == [live.pk]


@pytest.mark.django_db(transaction=True)
def test_hands_each_row_to_one_of_several_workers_at_once() -> None:
    project = factories.project()
    ids = [factories.run(project).pk for _ in range(60)]
    claims: list[list[UUID]] = []
    start, hold = threading.Barrier(4), threading.Barrier(4)

    def work() -> None:
        start.wait(timeout=10)
        try:
            with transaction.atomic():
                rows = sweep.claim(Run.objects.all(), ids, at=AT)
                claims.append([row.pk for row in rows])
                # All four hold their claims at the same moment.
                hold.wait(timeout=10)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    flat = [pk for claim in claims for pk in claim]
    assert len(claims) == 4
    assert len(flat) == len(set(flat)) == 60


@pytest.mark.django_db(transaction=True)
def test_moves_a_row_once_with_several_workers_at_once() -> None:
    run = make_run()
    views = [Run.objects.get(pk=run.pk) for _ in range(4)]
    start = threading.Barrier(4)
    done: list[int] = []

    def move(view: Run) -> None:
        start.wait(timeout=10)
        done.append(len(transition_all([Change(view, "provisioning")], at=AT)))
        connection.close()

    threads = [threading.Thread(target=move, args=[view]) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert sorted(done) == [0, 0, 0, 1]
    assert Event.objects.filter(object_id=run.pk).count() == 1


@pytest.mark.django_db
def test_a_late_look_wakes_nothing_that_ended_meanwhile() -> None:
    run = make_run("running")
    late = Run.objects.get(pk=run.pk)
    transition(run, "stopping", at=AT, next_check_at=AT)
    transition(run, "stopped", at=AT, next_check_at=None)

    sweep.set_next_check(late, at=AT + timedelta(seconds=9))

    run.refresh_from_db()
    assert run.next_check_at is None
