"""How a project of Google Cloud is connected. Empty `regions` are all that the project has."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from apps.backends import base

MOST_REGIONS = 100
LONGEST_KEY = 16 * 1024
GOOGLE = "googleapis.com"
KEY_FIELDS = ("client_email", "private_key", "private_key_id")


def _like(pattern: str, otherwise: str) -> AfterValidator:
    """A text of this form; what is said of another one shows how it looks, and not itself."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


def _text_of_key(value: Any) -> Any:
    """Take the key as an object too, as YAML reads it."""
    return json.dumps(value) if isinstance(value, dict) else value


def _key(value: str) -> str:
    """Check what the file of a key says; none of it is repeated."""
    if len(value) > LONGEST_KEY:
        raise ValueError("is longer than 16 KB, which no key is")
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ValueError("must be the whole JSON file of a key, from { to }")
    if said.get("type") != "service_account":
        raise ValueError('must be the key of a service account: its "type" is "service_account"')
    missing = [name for name in KEY_FIELDS if not _is_text(said.get(name))]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}: make a new key and take its file as it is")
    if said.get("universe_domain", GOOGLE) != GOOGLE:
        raise ValueError(f"must be a key of {GOOGLE}")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


class DefaultCreds(base.Config, title="The server's own credentials"):
    """What Google's library finds where the server runs: GOOGLE_APPLICATION_CREDENTIALS, gcloud's
    login, the service account of the machine. For admins of this server."""

    type: Literal["default"] = "default"


class ServiceAccount(base.Config, title="A service account's key"):
    """Of a service account whose role is the least policy, and no other."""

    type: Literal["service_account"]
    data: Annotated[
        str,
        BeforeValidator(_text_of_key),
        Field(
            title="Key (the whole JSON file)",
            json_schema_extra={"secret": True},
        ),
        AfterValidator(_key),
    ]

    def info(self) -> dict[str, Any]:
        """Return what the library reads of it; where tokens come from is not the key's to say."""
        said = json.loads(self.data)
        wanted = {name: str(said[name]) for name in KEY_FIELDS}
        return {**wanted, "type": self.type, "token_uri": f"https://oauth2.{GOOGLE}/token"}


Creds = Annotated[ServiceAccount | DefaultCreds, Field(discriminator="type")]
Region = Annotated[
    str, _like(r"[a-z]+-[a-z]+\d{1,2}", "must be the name of a region, such as us-central1")
]
ProjectId = Annotated[
    str,
    _like(
        r"([a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "must be the ID of a project, such as my-project-123456: not its name or number",
    ),
]


class GcpConfig(base.Config):
    """`creds` are secret as a whole, so that whoever leaves out secrets need not look inside."""

    creds: Creds = Field(
        default=DefaultCreds(), title="Credentials", json_schema_extra={"secret": True}
    )
    project_id: ProjectId = Field(
        title="Project ID", description="The project in which machines are made and billed."
    )
    regions: tuple[Region, ...] = Field(
        default=(),
        max_length=MOST_REGIONS,
        description="Such as us-central1, europe-west4. Empty: all that the project has.",
    )

    @property
    def is_of_server(self) -> bool:
        """Whoever may name a project for the server's credentials could name another's."""
        return not isinstance(self.creds, ServiceAccount)

    @field_validator("regions", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: Any) -> Any:
        return re.split(r"[\s,]+", value.strip(" ,")) if isinstance(value, str) and value else value

    @field_validator("regions")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Every one costs a check some calls."""
        return tuple(dict.fromkeys(value))
