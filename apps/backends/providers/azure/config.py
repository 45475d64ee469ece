"""How a subscription of Azure is connected. Empty `regions` are all that it may use."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from apps.backends import base

MOST_REGIONS = 100
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _like(pattern: str, otherwise: str) -> AfterValidator:
    """A text of this form; what is said of another one shows how it looks, and not itself."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


def _id(of: str, shown: str) -> AfterValidator:
    said = f"must be the ID of {of}, such as 11111111-2222-3333-4444-555555555555: {shown} shows it"
    return _like(UUID, said)


class DefaultCreds(base.Config, title="The server's own credentials"):
    """What Microsoft's library finds where the server runs: AZURE_CLIENT_ID and its like, a managed
    identity of the machine, the login of az. For admins of this server."""

    type: Literal["default"] = "default"


class ClientSecret(base.Config, title="A service principal's secret"):
    """Of a service principal whose role is the least policy, and no other."""

    type: Literal["client"]
    client_id: Annotated[
        str,
        _id("an application", "`az ad sp list --display-name dstack-web --query '[].appId'`"),
        Field(title="Client ID (appId)"),
    ]
    client_secret: Annotated[
        str,
        Field(
            min_length=8,
            max_length=512,
            title="Client secret (password)",
            json_schema_extra={"secret": True},
        ),
    ]


Creds = Annotated[ClientSecret | DefaultCreds, Field(discriminator="type")]
Region = Annotated[
    str,
    _like(
        r"[a-z][a-z0-9]{2,39}",
        "must be the name of a region in small letters without spaces, such as westus2",
    ),
]


class AzureConfig(base.Config):
    """`creds` are secret as a whole, so that whoever leaves out secrets need not look inside."""

    creds: Creds = Field(
        default=DefaultCreds(), title="Credentials", json_schema_extra={"secret": True}
    )
    tenant_id: Annotated[str, _id("a tenant", "`az account show --query tenantId`")] = Field(
        title="Tenant ID", description="The directory of the service principal."
    )
    subscription_id: Annotated[str, _id("a subscription", "`az account show --query id`")] = Field(
        title="Subscription ID",
        description="The subscription in which machines are made and billed.",
    )
    regions: tuple[Region, ...] = Field(
        default=(),
        max_length=MOST_REGIONS,
        description="Such as westus2, westeurope. Empty: all that the subscription may use.",
    )

    @property
    def is_of_server(self) -> bool:
        """Whoever may name a subscription for the server's credentials could name another's."""
        return not isinstance(self.creds, ClientSecret)

    @field_validator("tenant_id", "subscription_id")
    @classmethod
    def _in_small_letters(cls, value: str) -> str:
        """As Azure answers it."""
        return value.lower()

    @field_validator("regions", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: Any) -> Any:
        return re.split(r"[\s,]+", value.strip(" ,")) if isinstance(value, str) and value else value

    @field_validator("regions")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Every one costs a check some calls."""
        return tuple(dict.fromkeys(value))
