"""Rate limits of services and keys, in the real HAProxy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from gateway.schema import Endpoint, RateLimit
from tests.fakes.control_plane_gateway import key, service
from tests.integration.gateway.harness import ALICE, Answer, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with hello(tmp_path_factory.mktemp("limits")) as (gateway, _):
        yield gateway


async def limited(gateway: Gateway, name: str, *limits: RateLimit) -> Endpoint:
    """A service NAME with limits and the same replicas as `hello`."""
    hello = gateway.control.endpoints["e-hello"]
    made = service(name, *(each.address for each in hello.replicas))
    made = made.model_copy(update={"rate_limits": list(limits)})
    await gateway.control.applied(await gateway.control.put(made))
    return made


async def flood(
    gateway: Gateway, host: str, *, seconds: float, moments: list[float] | None = None
) -> list[Answer]:
    """Ask without a pause for so long; `moments` gets when answers came."""
    deadline = time.monotonic() + seconds
    answers = []
    while time.monotonic() < deadline:
        answers.append(await gateway.call(host=host, token=ALICE))
        if moments is not None:
            moments.append(time.monotonic())
    return answers


def passed(answers: list[Answer]) -> int:
    return sum(answer.status == 200 for answer in answers)


async def test_lets_the_rate_and_the_burst_through(gateway: Gateway) -> None:
    """Exactly how many is tried where the test sets the clock, in test_limit_clock.py."""
    await limited(gateway, "exact", RateLimit(rps=10, burst=5))

    began = time.monotonic()
    answers = await flood(gateway, "exact.localhost", seconds=2.95)
    took = time.monotonic() - began

    # A machine that stands still for more than the burst lets fewer through.
    assert 20 <= passed(answers) <= 6 + took * 10
    assert {answer.status for answer in answers} == {200, 429}


async def test_says_when_to_come_again(gateway: Gateway) -> None:
    await limited(gateway, "slow", RateLimit(rps=0.1))

    await gateway.call(host="slow.localhost", token=ALICE)
    answer = await gateway.call(host="slow.localhost", token=ALICE)

    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    assert answer.json["error"]["code"] == "rate_limited"


async def test_answers_people_with_a_page(gateway: Gateway) -> None:
    await limited(gateway, "people", RateLimit(rps=0.1))

    await gateway.call(host="people.localhost", token=ALICE)
    answer = await gateway.call(
        host="people.localhost", token=ALICE, headers={"Accept": "text/html"}
    )

    assert answer.status == 429
    assert b"<h1>Too many requests</h1>" in answer.body


async def test_takes_the_limit_with_the_longest_prefix(gateway: Gateway) -> None:
    await limited(
        gateway,
        "long",
        RateLimit(rps=0.1, burst=1),
        RateLimit(prefix="/v1/free", rps=1000, burst=9),
    )

    free = [
        await gateway.call(path, host="long.localhost", token=ALICE)
        for path in ["/v1/free", "/v1/fre%65/a", "/v1/free?x=1"] * 3
    ]
    paid = [await gateway.call("/v1", host="long.localhost", token=ALICE) for _ in range(4)]

    assert (passed(free), passed(paid)) == (9, 2)


async def test_leaves_paths_without_a_limit_alone(gateway: Gateway) -> None:
    await limited(gateway, "part", RateLimit(prefix="/v1", rps=0.1))

    answers = [await gateway.call("/", host="part.localhost", token=ALICE) for _ in range(5)]

    assert passed(answers) == 5


async def test_counts_each_value_of_a_header(gateway: Gateway) -> None:
    await limited(gateway, "header", RateLimit(rps=0.1, header="x-user"))

    names = ["ann", "ben", "ann", "c;d\\ e" * 900, "", "c;d\\ e" * 900]
    answers = [
        await gateway.call(host="header.localhost", token=ALICE, headers={"X-User": name})
        for name in names
    ]

    assert [answer.status for answer in answers] == [200, 200, 429, 200, 200, 429]


async def test_reads_the_path_below_a_path_route(gateway: Gateway) -> None:
    await limited(gateway, "mounted", RateLimit(prefix="/v1", rps=0.1))

    path = "/services/main/mounted/v1"
    first = await gateway.call(path, host="localhost", token=ALICE)
    second = await gateway.call("/v1", host="mounted.localhost", token=ALICE)

    assert (first.status, second.status) == (200, 429)


async def test_changes_without_a_new_haproxy(gateway: Gateway) -> None:
    before = gateway.haproxy()
    await limited(gateway, "live", RateLimit(rps=0.01, burst=100))
    many = [await gateway.call(host="live.localhost", token=ALICE) for _ in range(50)]

    await limited(gateway, "live", RateLimit(rps=0.01))
    few = [await gateway.call(host="live.localhost", token=ALICE) for _ in range(3)]
    await limited(gateway, "live")
    free = [await gateway.call(host="live.localhost", token=ALICE) for _ in range(3)]

    assert (passed(many), passed(few), passed(free)) == (50, 1, 3)
    assert gateway.haproxy() == before


async def test_bounds_a_key_over_all_services(gateway: Gateway) -> None:
    await limited(gateway, "other")
    bounded = key("dsk_s_bounded", projects=["p1"], rps=0.1, burst=3)
    await gateway.control.applied(await gateway.control.put(bounded))

    hosts = ["hello.localhost", "other.localhost"] * 3
    answers = [await gateway.call(host=host, token="dsk_s_bounded") for host in hosts]
    free = await gateway.call(token=ALICE)

    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429, 429]
    assert free.status == 200


async def test_charges_a_key_for_nothing_that_its_service_refused(gateway: Gateway) -> None:
    await limited(gateway, "twice", RateLimit(rps=0.1))
    bounded = key("dsk_s_twice", projects=["p1"], rps=0.1, burst=1)
    await gateway.control.applied(await gateway.control.put(bounded))

    refused = [await gateway.call(host="twice.localhost", token="dsk_s_twice") for _ in range(3)]
    other = await gateway.call(token="dsk_s_twice")

    assert [answer.status for answer in refused] == [200, 429, 429]
    assert other.status == 200


async def test_limits_nobody_who_may_not_call(gateway: Gateway) -> None:
    await limited(gateway, "closed", RateLimit(rps=0.1))

    strangers = [await gateway.call(host="closed.localhost") for _ in range(3)]
    answer = await gateway.call(host="closed.localhost", token=ALICE)

    assert [each.status for each in strangers] == [401, 401, 401]
    assert answer.status == 200


async def test_stays_near_the_rate_when_many_ask_at_once(gateway: Gateway) -> None:
    await limited(gateway, "many", RateLimit(rps=20, burst=10))

    moments = [time.monotonic()]
    floods = (flood(gateway, "many.localhost", seconds=1.98, moments=moments) for _ in range(8))
    answers = await asyncio.gather(*floods)
    most = 11 + 20 * (moments[-1] - moments[0])
    # What nobody asked for in time, on a busy machine, nobody got.
    longest_pause = max(later - earlier for earlier, later in pairwise(moments))

    # Of two threads in the same microsecond both may pass.
    assert 50 - 20 * longest_pause <= sum(passed(each) for each in answers) <= most + 1
