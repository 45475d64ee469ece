"""What is said of a machine, how it ends, and how all that we have are found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceState, ProviderError
from apps.backends.providers.aws import instances
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.integration.backends.aws.machines import NORTH, SERVER, base_ref, provider, spec

WEST = "eu-west-1"


class Console:
    """A client that only knows one machine's console."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.asked: list[dict[str, Any]] = []

    def get_console_output(self, **asked: Any) -> dict[str, str]:
        self.asked.append(asked)
        return {"Output": self.output}


def test_a_machine_runs_and_has_an_address(aws: Emulator) -> None:
    aws_provider = provider()

    seen = aws_provider.inspect(aws_provider.create(spec()))

    assert seen.state == InstanceState.RUNNING
    assert seen.address
    assert (seen.message, seen.console_tail, seen.spot_notice) == ("", "", False)
    assert aws.faults.asked["GetConsoleOutput"] == 0


def test_a_reference_is_of_one_machine_in_one_region(aws: Emulator) -> None:
    ref = provider(regions=[NORTH, WEST]).create(spec(region=WEST))

    assert base_ref(ref)["region"] == WEST
    assert provider().inspect(ref).state == InstanceState.RUNNING
    elsewhere = json.dumps({**base_ref(ref), "region": NORTH})
    assert provider().inspect(elsewhere).state == InstanceState.GONE


@pytest.mark.parametrize(
    ("state", "reason", "expected", "message", "has_tail"),
    [
        ("pending", None, InstanceState.CREATING, "", False),
        ("running", None, InstanceState.RUNNING, "", False),
        (
            "stopped",
            ("Server.InternalError", "Internal error"),
            InstanceState.FAILED,
            "Internal error",
            True,
        ),
        (
            "shutting-down",
            ("Server.SpotInstanceTermination", "Taken back"),
            InstanceState.FAILED,
            "Taken back",
            True,
        ),
        (
            "terminated",
            ("Client.VolumeLimitExceeded", "No disk"),
            InstanceState.GONE,
            "No disk",
            True,
        ),
        (
            "terminated",
            ("Client.UserInitiatedShutdown", "User initiated"),
            InstanceState.GONE,
            "User initiated",
            False,
        ),
        ("stopping", None, InstanceState.FAILED, "AWS says that the machine is stopping.", True),
    ],
)
def test_a_state_of_aws_is_one_of_ours(
    state: str,
    reason: tuple[str, str] | None,
    expected: InstanceState,
    message: str,
    has_tail: bool,
) -> None:
    row = {"InstanceId": "i-1", "State": {"Name": state}, "PrivateIpAddress": "10.0.0.1"}
    if reason:
        row["StateReason"] = dict(zip(("Code", "Message"), reason, strict=True))
    console = Console("x" * 9000 + "the last words")

    seen = instances.status(console, row)

    assert (seen.state, seen.message) == (expected, message)
    assert len(seen.console_tail) == (instances.CONSOLE_TAIL if has_tail else 0)
    assert seen.console_tail.endswith("the last words" if has_tail else "")
    assert len(console.asked) == has_tail


def test_a_console_that_cannot_be_read_says_nothing(aws: Emulator) -> None:
    aws_provider = provider()
    ref = aws_provider.create(spec())
    aws.faults.refused["GetConsoleOutput"] = Refusal("UnauthorizedOperation")
    ec2 = aws_provider._clients.ec2(NORTH)
    ec2.stop_instances(InstanceIds=[base_ref(ref)["id"]])

    seen = aws_provider.inspect(ref)

    assert (seen.state, seen.console_tail) == (InstanceState.FAILED, "")
    assert aws.faults.asked["GetConsoleOutput"] == 2


def test_a_stopped_machine_has_failed_and_shows_its_console(aws: Emulator) -> None:
    aws_provider = provider()
    ref = aws_provider.create(spec())
    aws_provider._clients.ec2(NORTH).stop_instances(InstanceIds=[base_ref(ref)["id"]])

    seen = aws_provider.inspect(ref)

    assert seen.state == InstanceState.FAILED
    assert seen.console_tail


@pytest.mark.parametrize(
    ("said", "notice"),
    [("fulfilled", False), ("marked-for-termination", True), ("marked-for-stop", True)],
)
def test_a_spot_machine_that_is_wanted_back_is_told(aws: Emulator, said: str, notice: bool) -> None:
    aws_provider = provider()
    ref = aws_provider.create(spec(spot=True))

    aws.faults.spot_status = said

    assert aws_provider.inspect(ref).spot_notice == notice


def test_no_spot_notice_is_asked_for_where_the_machine_is_no_spot(aws: Emulator) -> None:
    aws_provider = provider()
    ref = aws_provider.create(spec())
    aws.faults.spot_status = "marked-for-termination"

    assert not aws_provider.inspect(ref).spot_notice


def test_what_cannot_be_asked_is_not_gone(aws: Emulator) -> None:
    aws_provider = provider()
    ref = aws_provider.create(spec())
    aws.faults.refused["DescribeInstances"] = Refusal("RequestLimitExceeded")

    with pytest.raises(ProviderError) as refused:
        aws_provider.inspect(ref)

    assert refused.value.kind == ErrorKind.THROTTLED


def test_a_machine_that_may_not_be_ended_is_told(aws: Emulator) -> None:
    aws_provider = provider()
    ref = aws_provider.create(spec())
    aws.faults.refused["TerminateInstances"] = Refusal("OperationNotPermitted")

    with pytest.raises(ProviderError, match="OperationNotPermitted") as refused:
        aws_provider.terminate(ref)

    assert refused.value.kind == ErrorKind.REFUSED


def test_finds_its_machines_in_all_regions_and_no_others(aws: Emulator) -> None:
    aws_provider = provider(regions=[NORTH, WEST])
    ours = {
        aws_provider.create(spec("dstack-1")): "dstack-1",
        aws_provider.create(spec("dstack-2", region=WEST, tags={"run": "hello"})): "dstack-2",
    }
    aws_provider.create(spec("dstack-3", server_id="another"))
    aws_provider.terminate(aws_provider.create(spec("dstack-4")))

    found = aws_provider.list_owned(SERVER)

    assert {owned.ref: owned.name for owned in found} == ours
    assert {owned.tags.get("run") for owned in found} == {None, "hello"}


def test_finds_machines_in_a_region_that_it_is_not_configured_for_any_more(aws: Emulator) -> None:
    ref = provider(regions=[NORTH, WEST]).create(spec(region=WEST))
    narrowed = provider(regions=[NORTH])

    assert narrowed.list_owned(SERVER) == []
    found = narrowed.list_owned_in(SERVER, [NORTH, WEST])
    assert [owned.ref for owned in found] == [ref]


def test_without_regions_all_that_are_enabled_are_asked(aws: Emulator) -> None:
    aws_provider = provider(regions=[])
    ref = aws_provider.create(spec(region=WEST))

    found = aws_provider.list_owned(SERVER)

    assert found == [base.OwnedInstance(ref, "dstack-1")]
    assert aws.faults.asked["DescribeRegions"] == 1


def test_regions_are_asked_at_once(aws: Emulator) -> None:
    aws_provider = provider(regions=[NORTH, WEST, "eu-central-1", "ap-south-1"])
    aws_provider.list_owned(SERVER)
    aws.faults.hold_until = 4

    assert aws_provider.list_owned(SERVER) == []
    assert aws.faults.most_at_once == 4


def test_a_region_that_does_not_answer_is_no_empty_region(aws: Emulator) -> None:
    aws_provider = provider(regions=[NORTH, WEST])
    aws.faults.refused["DescribeInstances"] = Refusal("InternalError", status=500)

    with pytest.raises(ProviderError) as refused:
        aws_provider.list_owned(SERVER)

    assert refused.value.kind == ErrorKind.UNREACHABLE


def test_a_boot_is_another_machine_than_another_boot(aws: Emulator) -> None:
    aws_provider = provider()
    first, second = (aws_provider.create(spec(f"dstack-{number}")) for number in range(2))

    aws_provider.terminate(first)

    assert first != second
    assert aws_provider.inspect(second).state == InstanceState.RUNNING


def test_the_same_boot_on_spot_after_its_end_is_a_new_machine(aws: Emulator) -> None:
    aws_provider = provider()
    wanted = spec()
    first = aws_provider.create(wanted)
    aws_provider.terminate(first)

    second = aws_provider.create(replace(wanted, offer=replace(wanted.offer, spot=True)))

    assert second != first
    assert aws_provider.inspect(second).state == InstanceState.RUNNING
