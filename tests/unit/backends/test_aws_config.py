from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from apps.backends.providers.aws import permissions
from apps.backends.providers.aws.config import AwsConfig

SECRET = "wJalrXUtnFEMI/K7MDENG"
KEY = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": SECRET}
ROLE = {"type": "role", "role_arn": "arn:aws:iam::123456789012:role/ours", "external_id": SECRET}


@pytest.mark.parametrize("creds", [{"type": "default"}, KEY, ROLE])
def test_takes_what_is_documented(creds: dict[str, str]) -> None:
    config = AwsConfig.model_validate(
        {
            "creds": creds,
            "regions": ["us-east-1"],
            "vpc_id": "vpc-0a1b",
            "subnet_ids": ["subnet-0a1b"],
            "public_ips": False,
        }
    )

    assert AwsConfig.model_validate(config.model_dump(mode="json")) == config


def test_needs_nothing_where_the_server_has_credentials_of_its_own() -> None:
    config = AwsConfig.model_validate({})

    assert (config.creds.type, config.regions, config.public_ips) == ("default", (), True)


@pytest.mark.parametrize("creds", [KEY, ROLE])
def test_shows_no_secret(creds: dict[str, str]) -> None:
    config = AwsConfig.model_validate({"creds": creds})

    assert SECRET not in f"{config!r} {config} {config.creds!r} {config.creds}"
    assert "creds" in AwsConfig.secret_fields()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"creds": {**KEY, "secret_key": ""}}, "secret_key"),
        ({"creds": {**KEY, "access_key": SECRET}}, "access_key"),
        ({"creds": {**KEY, "unheard_of": SECRET}}, "unheard_of"),
        ({"creds": {"type": SECRET}}, "creds"),
        ({"creds": {"type": "role", "role_arn": SECRET}}, "role_arn"),
        ({"regions": ["us-east-1a"]}, "regions.0"),
        ({"regions": ["../etc"]}, "regions.0"),
        ({"vpc_id": "vpc-0a1b"}, "name exactly one in regions"),
        (
            {"subnet_ids": ["subnet-0a1b"], "regions": ["us-a-1", "us-a-2"]},
            "exactly one in regions",
        ),
        ({"vpc_id": "main", "regions": ["us-east-1"]}, "vpc_id"),
    ],
)
def test_refuses_what_cannot_be_and_says_where(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AwsConfig.model_validate(given)

    assert said in str(refused.value)


def test_the_minimal_policy_names_every_permission_that_is_asked_for() -> None:
    wanted = [*permissions.PROBES, permissions.PARAMETER, *permissions.FOR_A_VPC]

    assert [action for action in wanted if f'"{action}"' not in permissions.MINIMAL_POLICY] == []
    assert '"*"' in permissions.MINIMAL_POLICY and '"ec2:*"' not in permissions.MINIMAL_POLICY
