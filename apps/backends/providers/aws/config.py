"""How an account of AWS is connected. Empty `regions` are all that the account has enabled."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from apps.backends import base

# AWS has 40 regions or so; a subnet is of one zone.
MOST_REGIONS, MOST_SUBNETS = 100, 100


def _like(pattern: str, otherwise: str) -> AfterValidator:
    """A text of this form; what is said of another one shows how it looks, and not itself."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


class DefaultCreds(base.Config, title="The server's own credentials"):
    """What boto3 finds where the server runs: environment, profile, role of the machine. For admins
    of this server."""

    type: Literal["default"] = "default"


class AccessKey(base.Config, title="An access key"):
    """Of a user of the account that may do what the policy says, and nothing else."""

    type: Literal["access_key"]
    access_key: Annotated[
        str,
        _like(r"[A-Z0-9]{16,128}", "must be the ID of an access key, such as AKIAIOSFODNN7EXAMPLE"),
        Field(title="Access key ID"),
    ]
    secret_key: Annotated[
        str,
        Field(
            min_length=16,
            max_length=256,
            title="Secret access key",
            json_schema_extra={"secret": True},
        ),
    ]


class Role(base.Config, title="A role"):
    """A role that the server's own credentials may assume. For admins of this server."""

    type: Literal["role"]
    role_arn: Annotated[
        str,
        _like(
            r"arn:aws[a-z-]*:iam::\d{12}:role/\S+",
            "must be the ARN of a role, such as arn:aws:iam::123456789012:role/dstack-web",
        ),
        Field(title="ARN of the role"),
    ]
    external_id: Annotated[
        str | None, Field(title="External ID", json_schema_extra={"secret": True})
    ] = None


Creds = Annotated[AccessKey | DefaultCreds | Role, Field(discriminator="type")]
Region = Annotated[
    str, _like(r"[a-z]{2,}(-[a-z]+)+-\d", "must be the name of a region, such as us-east-1")
]
Vpc = Annotated[str, _like(r"vpc-[0-9a-f]+", "must be the ID of a VPC, such as vpc-0a1b2c3d")]
Subnet = Annotated[
    str, _like(r"subnet-[0-9a-f]+", "must be the ID of a subnet, such as subnet-0a1b2c3d")
]


class AwsConfig(base.Config):
    """`creds` are secret as a whole, so that whoever leaves out secrets need not look inside.

    Machines without `public_ips` need another way out, such as a NAT gateway: the agent calls the
    server, never the other way round.
    """

    creds: Creds = Field(
        default=DefaultCreds(), title="Credentials", json_schema_extra={"secret": True}
    )
    regions: tuple[Region, ...] = Field(
        default=(),
        max_length=MOST_REGIONS,
        description="Such as us-east-1, eu-west-1. Empty: all that the account has on.",
    )
    vpc_id: Vpc | None = Field(
        default=None,
        title="VPC",
        description="Empty: the default one, or one that is made where a region has none.",
    )
    subnet_ids: tuple[Subnet, ...] = Field(
        default=(),
        max_length=MOST_SUBNETS,
        title="Subnets",
        description="Empty: those from which a machine gets out.",
    )
    public_ips: bool = Field(
        default=True,
        title="Public addresses for machines",
        description="Without them another way out is needed, such as a NAT gateway.",
    )

    @property
    def is_of_server(self) -> bool:
        """Whoever may assume a role with the server's credentials could name another's role."""
        return not isinstance(self.creds, AccessKey)

    @field_validator("regions", "subnet_ids", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: Any) -> Any:
        return re.split(r"[\s,]+", value.strip(" ,")) if isinstance(value, str) and value else value

    @field_validator("regions", "subnet_ids")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Every one costs a check some calls."""
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _network_is_of_one_region(self) -> AwsConfig:
        if (self.vpc_id or self.subnet_ids) and len(self.regions) != 1:
            raise ValueError(
                "a VPC and its subnets are of one region: name exactly one in regions, "
                "or leave out vpc_id and subnet_ids"
            )
        return self
