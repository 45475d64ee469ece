"""What a configuration of Azure may say, and that no secret is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from apps.backends.providers.azure.config import AzureConfig
from tests.fakes.azure_world import CONFIG, SUBSCRIPTION

SECRET = CONFIG["creds"]["client_secret"]


def config(**changes: Any) -> AzureConfig:
    return AzureConfig.model_validate({**CONFIG, **changes})


@pytest.mark.parametrize("field", ["tenant_id", "subscription_id"])
@pytest.mark.parametrize("value", ["", "my subscription", SUBSCRIPTION[:-1], f"{SUBSCRIPTION}/x"])
def test_a_tenant_and_a_subscription_are_named_by_their_ids(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match="must be the ID of a") as refused:
        config(**{field: value})

    assert SECRET not in str(refused.value)


def test_ids_are_kept_as_azure_writes_them() -> None:
    assert config(subscription_id=SUBSCRIPTION.upper()).subscription_id == SUBSCRIPTION


@pytest.mark.parametrize("changes", [{"client_id": "x"}, {"client_secret": "short"}])
def test_credentials_that_are_none_are_refused_and_not_repeated(changes: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        config(creds={**CONFIG["creds"], **changes})

    assert SECRET not in str(refused.value) and "short'" not in str(refused.value)


def test_no_text_of_it_shows_the_secret() -> None:
    assert SECRET not in f"{config()!r} {config()}"


@pytest.mark.parametrize("region", ["West US 2", "WESTUS2", "../x", "westus2?x=1", "é-x1", "us"])
def test_a_region_has_the_form_of_one(region: str) -> None:
    with pytest.raises(ValidationError, match="must be the name of a region"):
        config(regions=[region])


def test_regions_come_with_commas_and_each_once() -> None:
    assert config(regions="westus2, westus3 westus2").regions == ("westus2", "westus3")


def test_the_servers_own_credentials_are_for_its_admins() -> None:
    assert config(creds={"type": "default"}).is_of_server
    assert not config().is_of_server
