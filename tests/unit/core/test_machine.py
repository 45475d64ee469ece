from __future__ import annotations

import itertools
from typing import get_args, get_type_hints

import pytest

from apps.core.state_machine import IllegalTransition, Look, Machine
from apps.gateways.states import CERTIFICATE, certificate_look
from apps.instances.states import INSTANCE, WORKLOAD
from apps.runs.states import REPLICA, RUN
from gateway.schema import CertificateState

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
        Machine("broken", {"a": frozenset({"b"})}, {"a": Look("grey", "is")})


@pytest.mark.parametrize("looks", [{}, {"a": Look("grey", "is"), "b": Look("grey", "is not")}])
def test_wants_one_look_for_each_state(looks: dict[str, Look]) -> None:
    with pytest.raises(ValueError, match="not one look for each"):
        Machine("broken", {"a": frozenset()}, looks)


SHOWN = [
    *(
        (f"{machine.name} {state}", look)
        for machine in MACHINES
        for state, look in machine.looks.items()
    ),
    *((f"certificate {state}", look) for state, look in CERTIFICATE.items()),
]


@pytest.mark.parametrize("look", [look for _, look in SHOWN], ids=[name for name, _ in SHOWN])
def test_has_a_colour_and_a_meaning_for_each_state(look: Look) -> None:
    assert look.tone in get_args(get_type_hints(Look)["tone"])
    assert look.meaning
    assert look.icon or look.tone in ("blue", "amber"), "only what is on its way spins"


def test_knows_the_states_of_certificates_that_a_gateway_may_report() -> None:
    assert set(CERTIFICATE) == set(get_args(get_type_hints(CertificateState)["state"]))
    assert certificate_look("valid", error="") is CERTIFICATE["valid"]
    assert certificate_look("valid", error="refused").tone == "amber"
    assert certificate_look("failed", error="refused") is CERTIFICATE["failed"]
