from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.fernet import InvalidToken
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from apps.core import crypto

OLD, NEW = (base64.urlsafe_b64encode(letter * 32).decode() for letter in (b"o", b"n"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(JSON)
@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
def test_gives_back_what_it_was_given(value: Any) -> None:
    assert crypto.decrypt(crypto.encrypt(value)) == value


def test_writes_nothing_that_can_be_read() -> None:
    assert "secret" not in crypto.encrypt({"key": "secret"})


def test_reads_with_an_old_key_and_writes_with_the_newest(settings: Settings) -> None:
    settings.DSTACK_ENCRYPTION_KEYS = [OLD]
    before = crypto.encrypt("value")
    settings.DSTACK_ENCRYPTION_KEYS = [NEW, OLD]
    after = crypto.encrypt("value")

    assert crypto.decrypt(before) == "value"
    settings.DSTACK_ENCRYPTION_KEYS = [NEW]
    assert crypto.decrypt(after) == "value"
    with pytest.raises(InvalidToken):
        crypto.decrypt(before)


def test_says_that_it_has_no_key(settings: Settings) -> None:
    settings.DSTACK_ENCRYPTION_KEYS = []

    with pytest.raises(ImproperlyConfigured, match="DSTACK_ENCRYPTION_KEYS"):
        crypto.encrypt("value")
