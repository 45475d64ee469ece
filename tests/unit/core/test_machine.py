from __future__ import annotations

import itertools

import pytest

from apps.core.machine import IllegalTransition, Machine
from apps.instances.states import INSTANCE, WORKLOAD
from apps.runs.states import REPLICA, RUN

MACHINES = [RUN, REPLICA, INSTANCE, WORKLOAD]
EDGES = [
    (machine, old, new)
    for machine in MACHINES
    for old, new in itertools.product(machine.states, machine.states)
]


@pytest.mark.parametrize(("machine", "old", "new"), EDGES, ids=lambda value: str(value)[:12])
def test_goes_along_each_edge_and_no_other(machine: Machine, old: str, new: str) -> None:
    allowed = True
    try:
        machine.check(old, new)
    except IllegalTransition:
        allowed = False

    assert allowed == (new in machine.edges[old])


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_can_end_from_everywhere(machine: Machine) -> None:
    reached = set(machine.final)
    while more := {old for old, news in machine.edges.items() if news & reached} - reached:
        reached |= more

    assert reached == set(machine.states)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_reaches_each_state_from_the_first(machine: Machine) -> None:
    reached = {machine.initial}
    while more := {new for old in reached for new in machine.edges[old]} - reached:
        reached |= more

    assert reached == set(machine.states)


def test_knows_no_state_that_is_not_in_its_table() -> None:
    with pytest.raises(IllegalTransition):
        RUN.check("nowhere", "running")
    with pytest.raises(ValueError, match="unknown states"):
        Machine("broken", {"a": frozenset({"b"})})
