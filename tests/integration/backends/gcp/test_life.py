"""What is said of machines that are there: their states, consoles, lists with a part missing."""

from __future__ import annotations

import pytest

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceState, ProviderError
from tests.fakes.gcp_world import World
from tests.integration.backends.gcp.machines import SERVER, A, B, F, provider, spec


def test_says_where_a_machine_is(gcp: World) -> None:
    one = provider()

    seen = one.inspect(one.create(spec(zones=(B,))))

    assert (seen.state, seen.zone) == (InstanceState.RUNNING, B)
    assert seen.address is not None and seen.address.startswith("203.0.113.")


@pytest.mark.parametrize(("spot", "notice"), [(True, True), (False, False)])
def test_one_that_google_stops_has_failed_with_its_console(
    gcp: World, spot: bool, notice: bool
) -> None:
    one = provider()
    ref = one.create(spec(spot=spot))
    gcp.take_back("dstack-1", console="x" * 5000 + "the end")

    seen = one.inspect(ref)

    assert (seen.state, seen.spot_notice) == (InstanceState.FAILED, notice)
    assert seen.console_tail.endswith("the end") and len(seen.console_tail) == 4096


def test_an_end_takes_its_time_and_is_asked_for_again(gcp: World) -> None:
    one = provider()
    ref = one.create(spec())
    gcp.faults.seconds = 60.0

    for _ in range(2):
        one.terminate(ref)

    assert one.inspect(ref).state == InstanceState.FAILED
    for operation in gcp.operations.values():
        operation.over_at = 0.0
    assert one.inspect(ref).state == InstanceState.GONE


def test_lists_the_machines_of_all_zones_and_of_this_server_alone(gcp: World) -> None:
    one = provider()
    refs = {
        one.create(spec("dstack-1", zones=(A,))),
        one.create(spec("dstack-2", zones=(F,))),
        one.create(spec("dstack-3", region="europe-west4")),
    }
    one.create(spec("dstack-4", server_id="another"))

    # Also where regions are no longer configured.
    listed = provider(regions=["us-east1"]).list_owned(SERVER)

    assert {each.ref for each in listed} == refs
    assert all(each.tags["dstack-web-server"] == SERVER for each in listed)


def test_a_zone_that_is_away_is_not_empty(gcp: World) -> None:
    one = provider()
    one.create(spec(zones=(A,)))
    gcp.faults.unreachable = {A}

    with pytest.raises(ProviderError) as refused:
        one.list_owned(SERVER)

    assert refused.value.kind == ErrorKind.UNREACHABLE
    assert A in str(refused.value)


def test_a_zone_that_is_away_makes_no_second_machine(gcp: World) -> None:
    one = provider()
    ref = one.create(spec(zones=(A, B)))
    gcp.faults.unreachable = {A}

    with pytest.raises(ProviderError) as refused:
        one.create(spec(zones=(A, B)))
    gcp.faults.unreachable = set()

    assert refused.value.is_passing
    assert one.list_owned(SERVER) == [base.OwnedInstance(ref, "dstack-1")]


@pytest.mark.parametrize("zone", ["../../etc", "us-central1-a/../b", "", "é", "a" * 100])
def test_a_reference_leads_nowhere_else(gcp: World, zone: str) -> None:
    ref = f'{{"zone": "{zone}", "name": "dstack-1"}}'

    provider().terminate(ref)

    assert provider().inspect(ref).state == InstanceState.GONE
    assert not gcp.faults.asked
