"""What an account is told to mend, and which credentials are used."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from apps.backends.base import ErrorKind, ProviderError
from apps.backends.providers.aws import permissions
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.integration.backends.aws.machines import NORTH, SECRET, SERVER, provider, spec

# As EC2 names its actions in requests.
ACTIONS = [action for action in permissions.PROBES if action != "ec2:DescribeImages"]


def problems(**config: Any) -> list[str]:
    return [str(problem) for problem in provider(**config).check()]


def test_an_account_that_works_has_no_problem_and_keeps_as_it_is(aws: Emulator) -> None:
    assert problems() == []

    changing = {"RunInstances", "CreateSecurityGroup", "CreateTags", "TerminateInstances"}
    assert changing <= aws.faults.asked.keys()
    ec2 = provider()._clients.ec2(NORTH)
    names = {group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]}
    assert names == {"default"}
    assert ec2.describe_instances()["Reservations"] == []
    assert ec2.describe_tags()["Tags"] == []


def test_wrong_credentials_are_a_problem(aws: Emulator) -> None:
    aws.faults.refused["GetCallerIdentity"] = Refusal("InvalidClientTokenId", 403)

    [said] = problems()

    assert "InvalidClientTokenId" in said
    assert "Check the credentials" in said
    assert SECRET not in said


@pytest.mark.parametrize("action", ACTIONS)
def test_a_missing_permission_is_named_with_the_policy_that_gives_it(
    aws: Emulator, action: str
) -> None:
    aws.faults.refused[action.partition(":")[2]] = Refusal("UnauthorizedOperation", 403)

    [said] = problems()

    assert said.startswith(f"The credentials lack {action}. Allow this: ")
    policy = json.loads(said.partition("Allow this: ")[2])
    assert policy["Statement"] == [{"Effect": "Allow", "Action": [action], "Resource": "*"}]


def test_all_missing_permissions_are_named_at_once(aws: Emulator) -> None:
    for action in ("RunInstances", "TerminateInstances"):
        aws.faults.refused[action] = Refusal("UnauthorizedOperation", 403)
    aws.faults.refused["GetParameter"] = Refusal("AccessDeniedException")

    [said] = problems()

    wanted = "ec2:RunInstances, ec2:TerminateInstances, ssm:GetParameter"
    assert f"lack {wanted}. " in said


def test_an_account_without_the_role_for_spot_is_told_how_to_make_it(aws: Emulator) -> None:
    aws.faults.has_spot_role = False

    [said] = problems()

    assert "AWSServiceRoleForEC2Spot" in said
    assert "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in said


def test_a_role_that_may_not_be_read_is_no_problem(aws: Emulator) -> None:
    aws.faults.refused["GetRole"] = Refusal("AccessDenied", 403)

    assert problems() == []


@pytest.mark.parametrize(
    ("quotas", "is_told"),
    [
        ({"L-1216C47A": 0.0, "L-DB2E81BA": 0.0, "L-417A185B": 0.0}, True),
        ({"L-1216C47A": 32.0, "L-DB2E81BA": 0.0, "L-417A185B": 0.0}, False),
        ({"L-DB2E81BA": 0.0, "L-417A185B": 0.0}, False),
    ],
)
def test_an_account_that_may_run_nothing_is_told_its_quotas(
    aws: Emulator, quotas: dict[str, float], is_told: bool
) -> None:
    aws.faults.quotas = quotas

    said = problems()

    assert len(said) == is_told
    assert all("Standard 0, G and VT 0, P 0" in one and NORTH in one for one in said)


def test_a_region_that_there_is_not_is_a_problem(aws: Emulator) -> None:
    said = problems(regions=[NORTH, "us-north-9"])

    assert said == ["AWS has no region us-north-9: correct its name in regions."]


def test_our_security_group_with_a_port_open_is_a_problem(aws: Emulator) -> None:
    provider().create(spec())
    ec2 = provider()._clients.ec2(NORTH)
    group = aws.faults.made[0]["NetworkInterface.1.SecurityGroupId.1"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )

    [said] = problems()

    assert group in said and "inbound" in said


@pytest.mark.parametrize(
    "network", [{"vpc_id": "vpc-0a1b2c3d"}, {"subnet_ids": ["subnet-0a1b2c3d"]}]
)
def test_a_network_that_there_is_not_is_a_problem(aws: Emulator, network: dict[str, Any]) -> None:
    assert len(problems(**network)) == 1


def test_an_aws_that_does_not_answer_is_an_error_and_no_problem(aws: Emulator) -> None:
    aws.faults.refused["GetCallerIdentity"] = Refusal("ServiceUnavailable", 503)

    with pytest.raises(ProviderError) as refused:
        provider().check()

    assert refused.value.kind == ErrorKind.UNREACHABLE


@pytest.mark.parametrize(
    "creds",
    [
        {"type": "default"},
        {"type": "role", "role_arn": "arn:aws:iam::123456789012:role/ours", "external_id": SECRET},
    ],
)
def test_works_with_the_credentials_of_the_server_and_with_a_role(
    aws: Emulator, creds: dict[str, str]
) -> None:
    aws_provider = provider(creds=creds)

    ref = aws_provider.create(spec())

    account = {"default": 0, "role": 1}[creds["type"]]
    assert aws.faults.asked["AssumeRole"] == account
    assert [owned.ref for owned in aws_provider.list_owned(SERVER)] == [ref]


def test_without_any_credentials_nobody_is_asked(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    [said] = problems(creds={"type": "default"})

    assert said.startswith("There are no working credentials of AWS")
    assert aws.faults.asked == {}


def test_no_log_and_no_text_has_a_secret(aws: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="apps")
    caplog.set_level(logging.INFO, logger="botocore")
    aws_provider = provider()
    aws_provider.create(spec(user_data="a script with dsk_a_secret"))
    aws.faults.refused["RunInstances"] = Refusal("InvalidParameterValue")

    with pytest.raises(ProviderError) as refused:
        aws_provider.create(spec("dstack-2", user_data="a script with dsk_a_secret"))

    text = f"{caplog.text} {refused.value!r} {aws_provider!r} {aws_provider.config!r}"
    assert SECRET not in text and "dsk_a_secret" not in text


def test_the_time_outs_are_short_and_a_request_for_a_machine_goes_out_once(aws: Emulator) -> None:
    clients = provider()._clients

    of_clients = [clients.ec2(NORTH).meta.config, clients.ec2(NORTH, attempts=1).meta.config]

    assert {(one.connect_timeout, one.read_timeout) for one in of_clients} == {(5, 20)}
    assert [one.retries["total_max_attempts"] for one in of_clients] == [3, 1]
    assert {one.retries["mode"] for one in of_clients} == {"standard"}
