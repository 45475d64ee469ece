"""Static addresses for gateways; a provider without any says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.backends import base
from tests.contract.test_providers import KINDS, SERVER, UNKNOWN, boot, case, kind, provider, spec

__all__ = ["case", "kind", "provider"]

WITH_ADDRESSES = sorted(
    kind for kind, made in KINDS.items() if base.Feature.STATIC_ADDRESS in made.features
)
with_addresses = pytest.mark.parametrize("kind", WITH_ADDRESSES, indirect=True)
NAME = "dstack-gateway-1"


def region_of(provider: Any) -> str:
    return str(spec(provider).offer.region)


@with_addresses
def test_an_address_of_a_name_is_one(provider: Any) -> None:
    first = provider.reserve_address(region_of(provider), NAME, server_id=SERVER)
    again = provider.reserve_address(region_of(provider), NAME, server_id=SERVER)
    other = provider.reserve_address(region_of(provider), f"{NAME}0", server_id=SERVER)

    assert first == again != other
    assert first.name == NAME and first.ip.count(".") == 3
    listed = provider.list_addresses(SERVER)
    assert sorted(each.ref for each in listed) == sorted([first.ref, other.ref])
    assert provider.list_addresses("00000000-0000-0000-0000-000000000000") == []


@with_addresses
def test_an_address_goes_from_one_machine_to_the_next_and_back(provider: Any) -> None:
    address = provider.reserve_address(region_of(provider), NAME, server_id=SERVER)
    refs = [provider.create(replace(spec(provider), boot=boot(number))) for number in (1, 2)]

    for ref in (*refs, refs[1]):
        provider.attach_address(ref, address)
    for _ in range(2):
        provider.release_address(address)

    assert provider.list_addresses(SERVER) == []


@with_addresses
def test_an_address_that_it_does_not_know_is_given_back_already(provider: Any) -> None:
    for ref in UNKNOWN:
        provider.release_address(base.Address(ref=ref, ip="", name=""))


def test_without_addresses_it_says_so_and_has_none(kind: str, provider: Any) -> None:
    if kind in WITH_ADDRESSES:
        assert KINDS[kind].reserve_address is not base.Provider.reserve_address
        return
    with pytest.raises(base.ProviderError, match="no static addresses"):
        provider.reserve_address("here", NAME, server_id=SERVER)

    assert provider.list_addresses(SERVER) == []
    assert provider.tidy("here") is None
