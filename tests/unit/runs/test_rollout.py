"""From one version to another, by the pure rules: tables, then any order of events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from apps.runs import states
from apps.runs.control import decide
from apps.runs.control.decide import ReplicaFacts, Start
from tests.unit.runs.test_decide import AT, RUN, SECOND, failed, replica

ROLLING = replace(RUN, version=2, fallback=1, retry_on=frozenset())


def test_starts_one_above_and_keeps_the_old_one_while_the_new_is_not_ready() -> None:
    old, new = replica(0), replica(1, states.STARTING, version=2)

    assert decide.reconcile(ROLLING, [old], at=AT).start == [Start(1)]
    verdict = decide.reconcile(ROLLING, [old, new], at=AT)
    assert (verdict.start, verdict.retire, verdict.state) == ([], [], states.UPDATING)


def test_drains_an_old_one_for_each_new_one_that_is_ready() -> None:
    old = [replica(0), replica(1)]
    new = replica(2, version=2)

    verdict = decide.reconcile(replace(ROLLING, desired=2), [*old, new], at=AT)

    assert (list(verdict.retire), verdict.start) == ([old[1].id], [Start(3)])


def test_drains_the_old_one_with_the_fewest_requests() -> None:
    old = [replica(0, in_flight=1), replica(1, in_flight=4)]
    new = replica(2, version=2)

    verdict = decide.reconcile(replace(ROLLING, desired=2), [*old, new], at=AT)

    assert list(verdict.retire) == [old[0].id]


@pytest.mark.parametrize("autoscaled", [False, True])
def test_gives_up_a_version_whose_replica_never_got_ready(autoscaled: bool) -> None:
    run = replace(ROLLING, autoscaled=autoscaled)
    verdict = decide.reconcile(run, [replica(0), failed(1, version=2)], at=AT)

    assert (verdict.give_up, verdict.reason, verdict.retire) == (True, "exited with code 1", ())


@pytest.mark.parametrize(
    "bad",
    [
        failed(1, version=1),
        failed(1, version=2, ready=True),
        failed(1, version=2, exit_reason="host_stopped"),
    ],
)
def test_does_not_give_up_for_what_is_not_the_versions_fault(bad: ReplicaFacts) -> None:
    assert not decide.reconcile(ROLLING, [replica(0), bad], at=AT).give_up


def test_lets_a_version_try_again_within_its_time_to_start() -> None:
    run = replace(ROLLING, retry_on=frozenset({"error"}))
    replicas = [replica(0), failed(1, version=2)]

    assert not decide.reconcile(run, replicas, at=AT).give_up
    assert decide.reconcile(replace(run, start_within=9 * SECOND), replicas, at=AT).give_up


def test_a_version_is_proved_when_all_of_it_serves_and_nothing_else_does() -> None:
    new = replica(1, version=2)

    assert decide.reconcile(ROLLING, [new], at=AT).promoted
    assert not decide.reconcile(replace(ROLLING, desired=2), [new], at=AT).promoted
    assert not decide.reconcile(replace(ROLLING, desired=0), [], at=AT).promoted


class Rollouts(RuleBasedStateMachine):
    """Updates, scalings and replicas that go their ways in any order; looks that come twice."""

    def __init__(self) -> None:
        super().__init__()
        self.run_facts = replace(RUN, desired=2)
        self.replicas: list[ReplicaFacts] = []
        self.newest = 1

    def _live(self) -> list[ReplicaFacts]:
        return [one for one in self.replicas if one.is_live]

    def _serving(self) -> int:
        return sum(one.state == states.RUNNING for one in self.replicas)

    def _set(self, one: ReplicaFacts, **changes: Any) -> None:
        self.replicas[self.replicas.index(one)] = replace(one, **changes)

    @rule(desired=st.integers(0, 4))
    def scale(self, desired: int) -> None:
        self.run_facts = replace(self.run_facts, desired=desired)

    @rule()
    def update(self) -> None:
        self.newest += 1
        run = self.run_facts
        served = any(r.ready_at and r.version == run.version for r in self.replicas)
        fallback = run.fallback or (run.version if served else None)
        self.run_facts = replace(run, version=self.newest, fallback=fallback)

    @rule(
        drawn=st.integers(0, 20),
        to=st.sampled_from([states.STARTING, states.RUNNING, states.UNHEALTHY, states.FAILED]),
    )
    def move(self, drawn: int, to: str) -> None:
        live = self._live()
        one = live[drawn % len(live)] if live else None
        if one is None or to not in states.REPLICA.edges[one.state]:
            return
        self._set(
            one,
            state=to,
            ready_at=one.ready_at or (AT if to == states.RUNNING else None),
            finished_at=AT if to == states.FAILED else None,
            exit_reason="host_stopped" if to == states.FAILED and one.version == 1 else "",
        )

    @rule(drawn=st.integers(0, 20))
    def drained(self, drawn: int) -> None:
        draining = [one for one in self.replicas if one.state == states.DRAINING]
        if draining:
            self._set(draining[drawn % len(draining)], state=states.STOPPED, finished_at=AT)

    @rule()
    def look(self) -> None:
        run, serving = self.run_facts, self._serving()
        verdict = decide.reconcile(run, self.replicas, at=AT)
        if verdict.give_up:
            assert run.fallback is not None
            self.run_facts = replace(
                run, version=run.fallback, fallback=None, failures_counted_since=AT
            )
            over = states.REPLICA.final
            self.replicas = [one for one in self.replicas if one.state not in over]
            return
        for one in [r for r in self.replicas if r.id in set(verdict.retire)]:
            assert one.is_live
            self._set(one, state=states.DRAINING)
        for start in verdict.start:
            assert all(one.num != start.num for one in self._unfinished())
            self.replicas.append(replica(start.num, states.STARTING, version=run.version))
        if verdict.promoted:
            self.run_facts = replace(run, fallback=None)
        assert len(self._live()) <= run.desired + decide.SURGE
        assert self._serving() >= min(serving, run.desired)
        assert verdict.state in states.RUN.edges[states.RUNNING] | {states.RUNNING}

    def _unfinished(self) -> list[ReplicaFacts]:
        return [one for one in self.replicas if one.state not in states.REPLICA.final]

    @rule()
    def look_twice(self) -> None:
        self.look()
        self.look()
        verdict = decide.reconcile(self.run_facts, self.replicas, at=AT)
        assert not verdict.start
        assert not verdict.retire


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
