"""Rate limits as HAProxy reads them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.schema import Endpoint, Key, RateLimit
from gateway.state import limits
from gateway.state.limits import Charge


def endpoint(*given: RateLimit) -> Endpoint:
    return Endpoint(id="e-a", version=1, rate_limits=list(given))


def values(*given: RateLimit) -> dict[str, str]:
    return dict(limits.of_endpoints([endpoint(*given)]))


@pytest.mark.parametrize(
    ("rps", "burst", "written"),
    [
        (10, 5, "100000:500000:60600000"),
        (1000, 0, "1000:0:60001000"),
        (1 / 60, 2, "60000000:120000000:240000000"),
        (3000, 1, "333:333:60000666"),
        (1e9, 3, "1:3:60000004"),
    ],
)
def test_writes_a_pace_in_microseconds(rps: float, burst: int, written: str) -> None:
    assert limits.pace(rps, burst) == written


def test_takes_a_burst_for_ten_days_at_most() -> None:
    assert limits.pace(1 / 60, 1_000_000).split(":")[1] == str(10 * 86_400 * 1_000_000)


def test_writes_a_limit_below_its_prefix() -> None:
    found = values(RateLimit(prefix="/v1/", rps=10, burst=5, header="x-user"))

    assert list(found) == ["e-a:/v1/"]
    assert found["e-a:/v1/"].split(":")[:2] == ["100000", "500000"]
    assert found["e-a:/v1/"].endswith(":x-user")


def test_counts_by_address_where_no_header_is_named() -> None:
    assert values(RateLimit(rps=1))["e-a:/"].endswith(":")


def test_keeps_the_counter_while_only_other_limits_change() -> None:
    before = values(RateLimit(rps=1))
    after = values(RateLimit(rps=1), RateLimit(prefix="/v1", rps=1))
    faster = values(RateLimit(rps=2))

    assert before["e-a:/"] == after["e-a:/"] != after["e-a:/v1"]
    assert before["e-a:/"].split(":")[3] != faster["e-a:/"].split(":")[3]


@pytest.mark.parametrize(
    ("given", "bound"), [({}, None), ({"rps": 5, "burst": 10}, "200000:2000000:62200000")]
)
def test_writes_what_a_key_may_ask(given: dict[str, Any], bound: str | None) -> None:
    assert limits.of_key(Key(id="k", version=1, **given)) == bound


def test_finds_the_pace_of_a_row() -> None:
    limit = RateLimit(prefix="/v1/", rps=10, burst=5, header="x-user")
    paces = limits.paces([endpoint(limit)])
    (counter,) = paces

    assert limits.pace_of(f"{counter}:2001:db8::1", paces) == "100000:500000:60600000"
    assert limits.pace_of("k-a:100000:0:60100000", paces) == "100000:0:60100000"
    assert limits.pace_of("e-a:0123456789ab:10.0.0.1", paces) is None
    assert limits.pace_of("e-b:1:2", paces) is None
    assert limits.pace_of("nothing", paces) is None


@pytest.mark.parametrize("now_us", [1_700_000_000_000_000, 1500 * limits.ROUND_US - 1_000_000])
@pytest.mark.parametrize(
    ("requests", "seconds_later", "seconds_left"),
    [(1, 0, 1), (3, 2.9, 0.1), (3, 3.1, None), (3, 86_400, None), (3, -3600, None)],
)
def test_tells_how_long_a_row_counts(
    requests: int, seconds_later: float, seconds_left: float | None, now_us: int
) -> None:
    charge = Charge(requests, now_us % limits.ROUND_US // limits.START_STEP_US)
    ahead_us = limits.ahead_us(
        charge, limits.pace(1, 5), now_us=now_us + round(seconds_later * 1e6)
    )

    assert ahead_us == (
        None
        if seconds_left is None
        else pytest.approx(seconds_left * 1e6, abs=limits.START_STEP_US)
    )
