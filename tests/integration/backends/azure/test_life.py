"""What is said of machines that are there: their states, addresses, consoles, their owner."""

from __future__ import annotations

import pytest

from apps.backends.base import InstanceState
from tests.fakes.azure_world import World
from tests.integration.backends.azure.machines import EUROPE, SERVER, provider, spec


def test_says_at_which_address_a_machine_is(azure: World) -> None:
    one = provider()

    seen = one.inspect(one.create(spec()))

    assert seen.state == InstanceState.RUNNING
    assert seen.address is not None and seen.address.startswith("203.0.113.")


def test_one_that_shut_itself_down_has_failed_with_its_console(azure: World) -> None:
    """It costs as much as before, so that the server ends it."""
    one = provider()
    ref = one.create(spec())
    azure.switch_off("dstack-1", console="x" * 5000 + "the end é")

    seen = one.inspect(ref)

    assert (seen.state, seen.spot_notice) == (InstanceState.FAILED, False)
    assert "VM stopped" in seen.message
    assert seen.console_tail.endswith("the end é") and len(seen.console_tail.encode()) == 4096


@pytest.mark.parametrize("spot", [True, False])
def test_one_that_is_being_deleted_is_not_gone_yet(azure: World, spot: bool) -> None:
    one = provider()
    ref = one.create(spec(spot=spot))
    azure.faults.seconds = 60.0

    for _ in range(2):
        one.terminate(ref)
    seen = one.inspect(ref)
    azure.pass_time(61)

    assert (seen.state, seen.spot_notice) == (InstanceState.FAILED, spot)
    assert one.inspect(ref).state == InstanceState.GONE


def test_lists_the_machines_of_all_regions_and_of_this_server_alone(azure: World) -> None:
    one = provider()
    refs = {one.create(spec("dstack-1")), one.create(spec("dstack-2", region=EUROPE))}
    one.create(spec("dstack-3", server_id="another"))

    # Also where regions are no longer configured.
    listed = provider(regions=["westus3"]).list_owned(SERVER)

    assert {each.ref for each in listed} == refs
    assert all(each.tags["dstack-web-server"] == SERVER for each in listed)


def test_a_machine_outside_our_groups_is_left_alone(azure: World) -> None:
    """Somebody else's, who has copied its tags."""
    one = provider()
    one.create(spec())
    row = azure.machines()["dstack-1"]
    row["id"] = row["id"].replace("dstack-web-westus2", "production")

    assert one.list_owned(SERVER) == []


@pytest.mark.parametrize("region", ["../../etc", "westus2/x", "", "é" * 4, "a" * 100, "WESTUS2"])
def test_a_reference_leads_nowhere_else(azure: World, region: str) -> None:
    ref = f'{{"region": "{region}", "name": "dstack-1"}}'

    provider().terminate(ref)

    assert provider().inspect(ref).state == InstanceState.GONE
    assert not azure.faults.asked


@pytest.mark.parametrize(
    ("state", "code", "seen"),
    [
        ("Updating", None, InstanceState.RUNNING),
        ("Failed", "VMExtensionProvisioningError", InstanceState.RUNNING),
        ("Failed", "OSProvisioningTimedOut", InstanceState.FAILED),
    ],
)
def test_what_others_do_to_a_machine_ends_it_not(
    azure: World, state: str, code: str | None, seen: InstanceState
) -> None:
    """As a policy of the subscription that puts a program of its own on each machine."""
    one = provider()
    ref = one.create(spec())
    error = {"code": code, "message": "No."} if code else None
    azure.machines()["dstack-1"].update(state=state, error=error, was_made=True)

    assert one.inspect(ref).state == seen


@pytest.mark.parametrize(
    ("power", "seen"),
    [
        ("running", InstanceState.RUNNING),
        ("starting", InstanceState.RUNNING),
        ("creating", InstanceState.RUNNING),
        ("unknown", InstanceState.RUNNING),
        ("stopping", InstanceState.FAILED),
        ("stopped", InstanceState.FAILED),
        ("deallocating", InstanceState.FAILED),
        ("deallocated", InstanceState.FAILED),
    ],
)
def test_only_one_that_stops_or_has_stopped_has_failed(
    azure: World, power: str, seen: InstanceState
) -> None:
    one = provider()
    ref = one.create(spec())
    azure.machines()["dstack-1"].update(power=power)

    assert one.inspect(ref).state == seen
