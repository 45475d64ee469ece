from __future__ import annotations

import pytest

from gateway.schema import Certificate, Endpoint, Table
from gateway.tls import names


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "hello.localhost",
        "printer.local",
        "db.internal",
        "127.0.0.1",
        "::1",
        "hello",
        "a..example.org",
        "my_app.example.org",
        f"{'a' * 64}.example.org",
    ],
)
def test_names_that_no_authority_knows_are_not_ordered(host: str) -> None:
    assert not names.may_be_ordered(host)


def test_a_public_name_is_ordered() -> None:
    assert names.may_be_ordered("hello.example.org")


@pytest.mark.parametrize(
    ("pattern", "host", "is_covered"),
    [
        ("a.example.org", "a.example.org", True),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.b.example.org", False),
        ("a.example.org", "b.example.org", False),
    ],
)
def test_a_wildcard_stands_for_one_label(pattern: str, host: str, is_covered: bool) -> None:
    assert names.covers(pattern, host) is is_covered


def test_the_whole_name_goes_before_a_wildcard_and_the_newest_before_others() -> None:
    wild = Certificate(id="w", version=9, hosts=["*.example.org"])
    old = Certificate(id="o", version=1, hosts=["a.example.org"])
    new = Certificate(id="n", version=2, hosts=["a.example.org"])
    assert names.covering([new, wild, old], "a.example.org") is new
    assert names.covering([new, wild, old], "b.example.org") is wild
    assert names.covering([new, wild, old], "b.example.com") is None


def test_a_service_without_https_wants_no_certificate() -> None:
    plain = Endpoint(id="p", version=1, hosts=["p.example.org"], https=False)
    safe = Endpoint(id="s", version=1, hosts=["s.example.org"])
    table = Table(version=1, whole=True, gateway="g", domain="example.org", endpoints=[plain, safe])
    assert names.wanted(table) == ["gateway.example.org", "s.example.org"]


@pytest.mark.parametrize(
    ("domain", "wildcards", "ordered"),
    [
        ("example.org", True, ["*.example.org", "a.b.example.org", "else.example.com"]),
        ("example.org", False, ["a.b.example.org", "a.example.org", "else.example.com"]),
        # No authority gives a wildcard for what only one network knows, nor for a suffix.
        ("internal", True, ["a.b.example.org", "a.example.org", "else.example.com"]),
        ("", True, ["a.b.example.org", "a.example.org", "else.example.com"]),
    ],
)
def test_one_wildcard_is_for_all_below_the_domain(
    domain: str, wildcards: bool, ordered: list[str]
) -> None:
    hosts = [
        "a.example.org",
        "my_app.example.org",
        "a.b.example.org",
        "else.example.com",
        "x.local",
    ]
    assert names.to_order(hosts, domain=domain, wildcards=wildcards) == ordered
