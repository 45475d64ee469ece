"""What a provider's configuration shows of its secrets: nothing."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from apps.backends import base


class Secretive(base.Config):
    """As a cloud's would be."""

    region: str
    key: str = Field(min_length=8, json_schema_extra={"secret": True})


def test_a_configuration_shows_all_but_its_secrets() -> None:
    config = Secretive(region="north", key="do not tell")

    assert (repr(config), str(config)) == ("Secretive(region='north')", "region='north'")
    assert Secretive.secret_fields() == {"key"}
    assert config.model_dump() == {"region": "north", "key": "do not tell"}


def test_an_error_about_a_configuration_shows_no_secret() -> None:
    with pytest.raises(ValidationError, match="key") as refused:
        Secretive.model_validate({"region": "north", "key": "secret"})

    assert "secret" not in str(refused.value)
