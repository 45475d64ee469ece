from __future__ import annotations

import re
import time
import zlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import ids


def test_orders_ids_by_the_time_they_were_made() -> None:
    made: list[UUID] = []
    while len({each.int >> 80 for each in made}) < 3:
        made.append(ids.new_id())

    moments = [each.int >> 80 for each in made]
    assert moments == sorted(moments)


def test_orders_ids_of_one_millisecond_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    made = [ids.new_id() for _ in range(1000)]

    assert made == sorted(made) and len(set(made)) == len(made)


def test_makes_uuids_of_version_7() -> None:
    assert {(each.version, each.variant) for each in (ids.new_id() for _ in range(100))} == {
        (7, "specified in RFC 4122")
    }


@pytest.mark.parametrize("kind", ids.TOKEN_KINDS)
def test_makes_tokens_that_scanners_know(kind: str) -> None:
    token = ids.new_token(kind)

    assert re.fullmatch(rf"dsk_{kind}_[0-9A-Za-z]{{33}}[0-9A-Za-z]{{6}}", token)
    assert token[-6:] == ids.base62(zlib.crc32(token[:-6].encode())).rjust(6, "0")


def test_makes_no_token_twice() -> None:
    assert len({ids.new_token("u") for _ in range(1000)}) == 1000


def test_makes_no_token_of_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="kind"):
        ids.new_token("x")


@given(st.integers(0, 2**200))
def test_writes_numbers_in_base_62(number: int) -> None:
    value = 0
    for digit in ids.base62(number):
        value = value * 62 + ids.BASE62.index(digit)

    assert value == number


@given(st.text())
def test_hashes_any_text(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", ids.token_hash(text))
