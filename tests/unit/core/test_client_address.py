from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.test import RequestFactory

from apps.core.http.client_address import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1")]


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.7", "198.51.100.1"),
        ("127.0.0.1", " , ", "127.0.0.1"),
        ("127.0.0.1", "anything", "anything"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_believes_proxies_that_one_trusts(
    settings: Any, remote: str, forwarded: str, address: str
) -> None:
    settings.DSTACK_TRUSTED_PROXIES = PROXIES
    request = RequestFactory().get("/", REMOTE_ADDR=remote, headers={"X-Forwarded-For": forwarded})

    assert client_address(request) == address


def test_believes_nobody_unless_told(settings: Any) -> None:
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "198.51.100.1"})

    assert client_address(request) == "127.0.0.1"
