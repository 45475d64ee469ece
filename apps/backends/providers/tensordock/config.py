"""How an account of TensorDock is connected."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from apps.backends import base


class ApiKey(base.Config, title="An API key"):
    """Of the organisation, from the developer settings of TensorDock's dashboard."""

    type: Literal["api_key"]
    # It goes into a header: visible ASCII and nothing else.
    api_key: Annotated[
        str,
        Field(
            min_length=8,
            max_length=512,
            pattern=r"^[!-~]+$",
            title="API key",
            json_schema_extra={"secret": True},
        ),
    ]


class TensorDockConfig(base.Config):
    """`creds` are secret as a whole, so that whoever leaves out secrets need not look inside."""

    creds: ApiKey = Field(title="Credentials", json_schema_extra={"secret": True})
