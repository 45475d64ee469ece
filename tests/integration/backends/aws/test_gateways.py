"""What a machine of a gateway has beside others: open ports, and an address that stays."""

from __future__ import annotations

from typing import Any

from tests.fakes.aws_cloud import Emulator, Refusal
from tests.integration.backends.aws.machines import NORTH, SERVER, base_ref, provider, spec

PORTS = (80, 443, 2222)


def groups(of: Any, name: str) -> list[dict[str, Any]]:
    wanted = [{"Name": "group-name", "Values": [name]}]
    found: list[dict[str, Any]] = of._clients.ec2(NORTH).describe_security_groups(Filters=wanted)[
        "SecurityGroups"
    ]
    return found


def test_only_its_own_ports_are_open_and_only_on_gateways(aws: Emulator) -> None:
    made = provider()
    for number in range(2):
        made.create(spec(f"dstack-{number}", inbound_ports=PORTS))
    made.create(spec("dstack-9"))

    (group,) = groups(made, "dstack-web-gateway")
    opened = [
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in group["IpPermissions"]
    ]
    assert sorted(opened) == [("tcp", port, port) for port in PORTS]
    assert {tag["Key"] for tag in group["Tags"]} >= {"dstack-web-network"}
    asked = [each["NetworkInterface.1.SecurityGroupId.1"] for each in aws.faults.made]
    (other,) = groups(made, "dstack-web")
    assert asked == [group["GroupId"], group["GroupId"], other["GroupId"]]
    assert other["IpPermissions"] == []


def test_a_group_that_a_killed_worker_left_without_rules_is_completed(aws: Emulator) -> None:
    made = provider()
    made.create(spec("dstack-1", inbound_ports=PORTS[:1]))

    made.create(spec("dstack-2", inbound_ports=PORTS))

    (group,) = groups(made, "dstack-web-gateway")
    assert sorted(rule["FromPort"] for rule in group["IpPermissions"]) == list(PORTS)


def test_the_group_goes_with_the_last_gateway(aws: Emulator) -> None:
    made = provider()
    made.terminate(made.create(spec(inbound_ports=PORTS)))

    aws.faults.refused["DeleteSecurityGroup"] = Refusal("DependencyViolation")
    made.tidy(NORTH)
    assert len(groups(made, "dstack-web-gateway")) == 1
    aws.faults.refused.clear()
    for _ in range(2):
        made.tidy(NORTH)

    assert groups(made, "dstack-web-gateway") == []


def test_an_address_is_on_one_machine_and_then_on_another(aws: Emulator) -> None:
    made = provider()
    first, second = (made.create(spec(f"dstack-{n}", inbound_ports=PORTS)) for n in range(2))
    address = made.reserve_address(NORTH, "dstack-gateway-1", server_id=SERVER)

    made.attach_address(first, address)
    assert made.inspect(first).address == address.ip
    made.attach_address(second, address)

    assert made.inspect(second).address == address.ip
    known = made._clients.ec2(NORTH).describe_addresses()["Addresses"]
    assert [each["InstanceId"] for each in known] == [base_ref(second)["id"]]
    made.release_address(address)
    assert made._clients.ec2(NORTH).describe_addresses()["Addresses"] == []
