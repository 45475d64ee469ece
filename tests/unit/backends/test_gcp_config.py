"""What a configuration of Google Cloud may say, and that no key is repeated or believed too far."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from apps.backends.providers.gcp.config import GcpConfig
from tests.fakes.gcp_keys import CONFIG, key

SECRET = json.loads(CONFIG["creds"]["data"])["private_key"]


def config(**changes: Any) -> GcpConfig:
    return GcpConfig.model_validate({**CONFIG, **changes})


def test_where_tokens_come_from_is_not_the_keys_to_say() -> None:
    data = key(token_uri="http://169.254.169.254/x", client_x509_cert_url="http://10.0.0.1")

    info = config(creds={"type": "service_account", "data": data}).creds.info()  # type: ignore[union-attr]

    assert info["token_uri"] == "https://oauth2.googleapis.com/token"
    assert "client_x509_cert_url" not in info


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "the whole JSON file of a key"),
        ("not json", "the whole JSON file of a key"),
        ("[1]", "the whole JSON file of a key"),
        ("[" * 9000, "the whole JSON file of a key"),
        (key(type="authorized_user"), "the key of a service account"),
        (key(type="external_account"), "the key of a service account"),
        (key(private_key=""), "lacks private_key"),
        (key(private_key=7), "lacks private_key"),
        (key(client_email=None), "lacks client_email"),
        (key(universe_domain="evil.example"), "must be a key of googleapis.com"),
        ("x" * 20_000, "longer than 16 KB"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(data: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        config(creds={"type": "service_account", "data": data})

    assert "PRIVATE KEY" not in str(refused.value)


def test_a_key_may_be_an_object_as_yaml_reads_it() -> None:
    found = config(creds={"type": "service_account", "data": json.loads(key())})

    assert not found.is_of_server
    assert SECRET not in f"{found!r} {found}"


@pytest.mark.parametrize(
    ("project", "is_right"),
    [
        ("my-project-123456", True),
        ("example.com:my-project", True),
        ("My Project", False),
        ("123456789", False),
        ("p/../x", False),
        ("a" * 31, False),
        ("é" * 8, False),
        ("", False),
    ],
)
def test_a_project_is_named_by_its_id(project: str, is_right: bool) -> None:
    if is_right:
        assert config(project_id=project).project_id == project
    else:
        with pytest.raises(ValidationError, match="must be the ID of a project"):
            config(project_id=project)


@pytest.mark.parametrize("region", ["us-central1-a", "US", "../x", "us-central1?x=1", "é-x1"])
def test_a_region_has_the_form_of_one(region: str) -> None:
    with pytest.raises(ValidationError, match="must be the name of a region"):
        config(regions=[region])


def test_regions_come_with_commas_and_each_once() -> None:
    assert config(regions="us-central1, us-east1 us-central1").regions == (
        "us-central1",
        "us-east1",
    )


def test_the_servers_own_credentials_are_for_its_admins() -> None:
    assert config(creds={"type": "default"}).is_of_server
