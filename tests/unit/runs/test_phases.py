"""Where a replica and its machine stand, a row for each way to be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.instances import states as machines
from apps.runs import states
from apps.runs.whereabouts import phases
from apps.runs.whereabouts.phases import Facts, Machine, Workload

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return AT - timedelta(seconds=seconds)


MADE = Machine(machines.CREATING, ago(40), "p5.4xlarge", "us-east-1")
HERE = Machine(machines.READY, ago(90), "my-host", "local", reported_at=ago(3), shared=True)
AFRESH = Workload(ago(5))
BEGUN = Workload(ago(5), is_taken=True, told="pulling image 1.2/3.4 GB")
SOON = AT + timedelta(seconds=70)


def machine(state: str, **changes: Any) -> Machine:
    return replace(MADE, state=state, **changes)


@pytest.mark.parametrize(
    ("state", "facts", "text", "since"),
    [
        (states.PENDING, {}, "looking for an offer", 10),
        (states.PENDING, {"tries": 2}, "looking for another offer", 10),
        (
            states.PENDING,
            {"not_before": SOON, "found_no_place": True},
            "waiting for capacity, next try at 12:01:10 UTC",
            10,
        ),
        (
            states.PENDING,
            {"not_before": SOON, "found_no_place": True, "gives_up_at": SOON + timedelta(hours=3)},
            "waiting for capacity, next try at 12:01:10 UTC, gives up at 15:01:10 UTC",
            10,
        ),
        (
            states.PENDING,
            {"not_before": SOON, "found_no_place": True, "gives_up_at": SOON + timedelta(days=1)},
            "waiting for capacity, next try at 12:01:10 UTC, gives up at 02 Jan 12:01:10 UTC",
            10,
        ),
        (
            states.PENDING,
            {"not_before": SOON},
            "waiting after a failure, next try at 12:01:10 UTC",
            10,
        ),
        (
            states.PENDING,
            {"not_before": SOON, "failed_by": "exited with\tcode 1."},
            "waiting after a failure (exited with code 1), next try at 12:01:10 UTC",
            10,
        ),
        # The pause is over: it is looked at any moment.
        (states.PENDING, {"not_before": ago(1)}, "looking for an offer", 10),
        (
            states.PROVISIONING,
            {"machine": machine(machines.REQUESTED)},
            "creating p5.4xlarge in us-east-1",
            40,
        ),
        (states.PROVISIONING, {"machine": MADE}, "creating p5.4xlarge in us-east-1", 40),
        (
            states.PROVISIONING,
            {"machine": replace(MADE, error="aws did not answer.", next_try_at=SOON)},
            "creating p5.4xlarge in us-east-1: aws did not answer; next try at 12:01:10 UTC",
            40,
        ),
        (states.PROVISIONING, {"machine": machine(machines.BOOTING)}, "booting", 40),
        (
            states.PROVISIONING,
            {"machine": machine(machines.BOOTING, running_at=ago(20)), "workload": AFRESH},
            "booting",
            20,
        ),
        (
            states.PROVISIONING,
            {"machine": machine(machines.BOOTING, step="installing docker.io", step_at=ago(7))},
            "installing docker.io",
            7,
        ),
        (
            states.PROVISIONING,
            {"machine": machine(machines.READY, step="installing x"), "workload": AFRESH},
            "waiting for the machine's agent to take it",
            5,
        ),
        (
            states.PROVISIONING,
            {"machine": machine(machines.READY), "workload": AFRESH},
            "waiting for the machine's agent to take it",
            5,
        ),
        (
            states.PROVISIONING,
            {"machine": machine(machines.READY), "workload": BEGUN},
            "pulling image 1.2/3.4 GB",
            5,
        ),
        (states.STARTING, {"machine": HERE, "workload": BEGUN}, "pulling image 1.2/3.4 GB", 5),
        # What an agent says must not break a line.
        (
            states.STARTING,
            {"machine": HERE, "workload": replace(BEGUN, told="a\x00b\r\nc")},
            "a b c",
            5,
        ),
        (
            states.UNHEALTHY,
            {"machine": HERE, "workload": replace(BEGUN, told="starting: GET /: 500")},
            "starting: GET /: 500",
            10,
        ),
        (
            states.UNHEALTHY,
            {"machine": machine(machines.LOST, reported_at=ago(70)), "workload": BEGUN},
            "no report from its machine",
            70,
        ),
        (states.DRAINING, {"machine": HERE, "workload": BEGUN}, "finishing its requests", 10),
        (
            states.DRAINING,
            {"machine": HERE, "workload": replace(BEGUN, is_stopping=True)},
            "stopping",
            10,
        ),
        (
            states.STOPPED,
            {"machine": machine(machines.TERMINATING)},
            "ending p5.4xlarge in us-east-1",
            40,
        ),
        (
            states.FAILED,
            {"machine": machine(machines.TERMINATING, error="no", next_try_at=SOON)},
            "ending p5.4xlarge in us-east-1: no; next try at 12:01:10 UTC",
            40,
        ),
        (
            states.PROVISIONING,
            {"machine": machine(machines.TERMINATING)},
            "ending p5.4xlarge in us-east-1",
            40,
        ),
    ],
)
def test_says_where_it_stands_and_since_when(
    state: str, facts: dict[str, Any], text: str, since: float
) -> None:
    found = phases.phase(Facts(state, ago(10), **facts), at=AT)

    assert (found.text, found.since) == (text, ago(since))


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        (states.RUNNING, {"machine": HERE, "workload": replace(BEGUN, told="")}),
        (states.STOPPED, {"machine": machine(machines.TERMINATED)}),
        (states.STOPPED, {"machine": replace(HERE, state=machines.TERMINATING)}),
        (states.FAILED, {}),
        (states.PROVISIONING, {}),
    ],
)
def test_says_nothing_where_nothing_is_under_way(state: str, facts: dict[str, Any]) -> None:
    assert phases.phase(Facts(state, ago(10), **facts), at=AT) == phases.Phase()


def test_a_machine_that_is_called_as_its_region_is_named_once() -> None:
    assert replace(MADE, name="north", region="north").where == "north"


@pytest.mark.parametrize(("count", "words"), [(0, ""), (1, "1 offer tried"), (3, "3 offers tried")])
def test_counts_what_was_tried(count: int, words: str) -> None:
    assert phases.tried_words([{}] * count) == words
