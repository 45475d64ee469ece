"""What the gateway counts, and tells the control plane each second."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import os
import signal
from bisect import bisect_left
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.schema import LATENCY_BOUNDS_US, RateLimit, Stats
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.integration.gateway.counted import ask, classes, load_of, model, same_target
from tests.integration.gateway.harness import (
    ALICE,
    BOB,
    METRICS_TOKEN,
    Gateway,
    hello,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path_factory.mktemp("stats")) as (gateway, targets):
        yield gateway, targets[0]


@pytest.fixture
def gateway(counted: tuple[Gateway, Target]) -> Gateway:
    return counted[0]


@pytest.fixture
def target(counted: tuple[Gateway, Target]) -> Target:
    return counted[1]


async def test_counts_answers_by_class_endpoint_and_key(gateway: Gateway) -> None:
    await same_target(gateway, "mixed", RateLimit(prefix="/v1", rps=0.01))
    for path in ("/", "/answer", "/answer?status=302", "/answer?status=404", "/answer?status=500"):
        await gateway.call(path, host="mixed.localhost", token=ALICE)
    for _ in range(2):
        await gateway.call("/v1", host="mixed.localhost", token=ALICE)
    await gateway.call(host="mixed.localhost", token=BOB)
    await gateway.call(host="mixed.localhost")

    await until(lambda: classes(gateway.control, "e-mixed", ALICE) == (0, 3, 1, 2, 1))
    await until(lambda: classes(gateway.control, "e-mixed", BOB) == (0, 0, 0, 1, 0))
    await until(lambda: classes(gateway.control, "e-mixed") == (0, 0, 0, 1, 0))


async def test_counts_bytes_both_ways(gateway: Gateway) -> None:
    await same_target(gateway, "bytes")
    await gateway.call(
        "/", host="bytes.localhost", token=ALICE, method="POST", data=b"x" * 3_000_000
    )
    await gateway.call("/bytes?count=2000000", host="bytes.localhost", token=ALICE)

    await until(lambda: classes(gateway.control, "e-bytes", ALICE)[1] == 2)
    found = gateway.control.counts("e-bytes", ALICE)

    assert 3_000_000 <= found.bytes_in < 3_100_000
    assert 2_000_000 <= found.bytes_out < 2_100_000


async def test_counts_a_stream_as_in_flight_until_its_last_byte(
    gateway: Gateway, target: Target
) -> None:
    await same_target(gateway, "stream")
    target.go_on.clear()
    call = asyncio.create_task(gateway.call("/wait", host="stream.localhost", token=ALICE))

    await until(lambda: load_of(gateway.control, "e-stream").in_flight == 1)
    early = gateway.control.counts("e-stream", ALICE).bytes_out
    target.go_on.set()
    await call
    await until(lambda: load_of(gateway.control, "e-stream").in_flight == 0)

    await until(lambda: gateway.control.counts("e-stream", ALICE).bytes_out > early)


async def test_says_on_which_of_several_replicas_requests_are(gateway: Gateway) -> None:
    targets = [await Target().start(), await Target().start()]
    made = service("several", *(each.address for each in targets))
    await gateway.control.applied(await gateway.control.put(made))

    async def takes_requests() -> bool:
        await gateway.call(host="several.localhost", token=ALICE)
        return all(each.seen for each in targets)

    await until(takes_requests)
    calls = [
        asyncio.create_task(gateway.call("/wait", host="several.localhost", token=ALICE))
        for _ in range(3)
    ]
    await until(lambda: load_of(gateway.control, "e-several").in_flight == 3)
    found = load_of(gateway.control, "e-several").replicas
    for each in targets:
        each.go_on.set()
    await asyncio.gather(*calls)
    for each in targets:
        await each.stop()

    assert found.keys() == {each.id for each in made.replicas}
    assert sorted(found.values()) == [1, 2]


async def test_counts_what_is_held_once(gateway: Gateway) -> None:
    asleep = service("asleep")
    await gateway.control.applied(await gateway.control.put(asleep))
    call = asyncio.create_task(gateway.call(host="asleep.localhost", token=ALICE))

    await until(lambda: load_of(gateway.control, "e-asleep").held == 1)
    held = load_of(gateway.control, "e-asleep")
    hello = gateway.control.endpoints["e-hello"]
    awake = asleep.model_copy(update={"replicas": hello.replicas})
    await gateway.control.put(awake)
    answer = await call

    assert (held.in_flight, answer.status) == (0, 200)
    await until(lambda: classes(gateway.control, "e-asleep", ALICE) == (0, 1, 0, 0, 0))


async def test_measures_times_to_the_last_and_first_byte(gateway: Gateway) -> None:
    await same_target(gateway, "timed")
    for _ in range(5):
        await gateway.call("/sse?count=4&pause=0.06", host="timed.localhost", token=ALICE)
    await gateway.call(host="timed.localhost", token=BOB)

    def is_there() -> bool:
        found = gateway.control.latency("e-timed")
        return found is not None and sum(found.total) == 5

    await until(is_there)
    found = gateway.control.latency("e-timed")

    assert found is not None
    # 240 ms lie between 200 and 500, and the first event comes at once.
    assert sum(found.total[8:10]) == 5
    assert sum(found.first_byte[:7]) == 5
    assert found.fine_total is not None
    assert all(180_000 < LATENCY_BOUNDS_US[index] < 400_000 for index in found.fine_total)


async def test_measures_times_below_a_millisecond(gateway: Gateway) -> None:
    await same_target(gateway, "quick")
    for _ in range(30):
        await gateway.call(host="quick.localhost", token=ALICE)

    def is_there() -> bool:
        found = gateway.control.latency("e-quick")
        return found is not None and sum(found.total) == 30

    await until(is_there)
    found = gateway.control.latency("e-quick")

    assert found is not None
    # Where HAProxy said milliseconds only, all would lie in their middles.
    middles = {bisect_left(LATENCY_BOUNDS_US, ms * 1000 + 500) for ms in range(1000)}
    for fine, coarse in (
        (found.fine_total, found.total),
        (found.fine_first_byte, found.first_byte),
    ):
        assert fine is not None
        assert sum(fine.values()) == sum(coarse)
        assert not fine.keys() <= middles


async def test_counts_the_tokens_that_a_model_used(gateway: Gateway) -> None:
    await model(gateway, "talks")
    for _ in range(2):
        await ask(gateway, "talks")

    await until(lambda: classes(gateway.control, "e-talks", ALICE) == (0, 2, 0, 0, 0))
    found = gateway.control.counts("e-talks", ALICE)

    assert (found.tokens_in, found.tokens_out) == (14, 6)


async def test_counts_the_tokens_of_what_the_sidecar_routes(gateway: Gateway) -> None:
    await model(gateway, "writes")
    await ask(gateway, "writes", filler=100_000)
    options = {"include_usage": True}
    await ask(gateway, "writes", filler=100_000, stream=True, stream_options=options)

    await until(lambda: tokens(gateway.control, "e-writes") == (14, 6))
    assert classes(gateway.control, "e-writes", ALICE) == (0, 2, 0, 0, 0)


def tokens(control: ControlPlane, endpoint: str) -> tuple[int, int]:
    found = control.counts(endpoint, ALICE)
    return found.tokens_in, found.tokens_out


async def test_counts_and_limits_what_the_sidecar_routes(gateway: Gateway) -> None:
    await model(gateway, "long", RateLimit(rps=0.1, burst=1))
    answers = [await ask(gateway, "long", filler=100_000) for _ in range(2)]
    short = await ask(gateway, "long")
    last = await ask(gateway, "long", filler=100_000)

    assert [answer.status for answer in (*answers, short, last)] == [200, 200, 429, 429]
    assert int(last.headers["retry-after"]) in {9, 10}
    assert last.json["error"]["type"] == "rate_limit_error"
    await until(lambda: classes(gateway.control, "e-long", ALICE) == (0, 2, 0, 2, 0))
    assert gateway.control.counts("e-long", ALICE).bytes_in > 100_000


async def test_sends_only_what_changed(gateway: Gateway) -> None:
    await gateway.call(token=ALICE)
    await same_target(gateway, "quiet")
    await gateway.call(host="quiet.localhost", token=ALICE)
    await until(lambda: classes(gateway.control, "e-quiet", ALICE)[1] == 1)

    seen = len(gateway.control.stats)
    await gateway.call(token=ALICE)
    await until(lambda: any(scrape.counts for scrape in gateway.control.stats[seen:]))
    found = {each.endpoint for scrape in gateway.control.stats[seen:] for each in scrape.counts}

    assert found == {"e-hello"}


async def test_says_that_nothing_is_asked(gateway: Gateway) -> None:
    """Who scales a service down must be able to tell a quiet gateway from one that is away."""
    await until(lambda: not gateway.control.stats[-1].counts)
    seen = len(gateway.control.stats)

    await until(lambda: len(gateway.control.stats) >= seen + 3, seconds=10)

    assert not [
        each for scrape in gateway.control.stats[seen:] for each in (*scrape.counts, *scrape.load)
    ]


async def test_shows_numbers_to_prometheus(gateway: Gateway) -> None:
    await same_target(gateway, "shown")
    await gateway.call(host="shown.localhost", token=ALICE)
    await until(lambda: classes(gateway.control, "e-shown", ALICE)[1] == 1)

    plain = {"Accept-Encoding": "identity"}
    scrape = functools.partial(gateway.call, host="localhost", token=METRICS_TOKEN)
    shown = await scrape("/-/metrics", headers=plain)
    packed = await scrape("/-/metrics", headers={"Accept-Encoding": "gzip"})
    haproxy = await scrape("/-/metrics/haproxy")

    who = f'project="p1",service="shown",endpoint="e-shown",key="{key(ALICE).id}"'
    row = f'dstack_gateway_requests_total{{{who},code="2xx"}} 1\n'
    assert row in shown.body.decode()
    assert row in gzip.decompress(packed.body).decode()
    assert b"haproxy_frontend_http_requests_total" in haproxy.body
    assert b"haproxy_server_" not in haproxy.body


@pytest.mark.parametrize("path", ["/-/metrics", "/-/metrics/haproxy"])
@pytest.mark.parametrize("token", ["", ALICE, "-", METRICS_TOKEN.upper(), f"{METRICS_TOKEN},x"])
async def test_shows_them_to_nobody_without_their_token(
    gateway: Gateway, path: str, token: str
) -> None:
    assert (await gateway.call(path, host="localhost", token=token)).status == 404


async def test_shows_them_to_nobody_where_no_token_is_set(tmp_path: Path) -> None:
    control = ControlPlane(token="dsk_g_gateway")
    await control.start()
    gateway = Gateway(tmp_path, control, environ={"DSTACK_METRICS_TOKEN": ""})
    try:
        await gateway.start()
        shown = await gateway.call("/-/metrics", host="localhost", token="nobody")
    finally:
        await gateway.stop()
        await control.stop()

    assert shown.status == 404


async def test_keeps_secrets_out_of_what_it_writes(gateway: Gateway) -> None:
    await gateway.call("/secret-path?q=secret-query", token=ALICE, headers={"X-A": "secret-head"})
    await until(lambda: classes(gateway.control, "e-hello", ALICE)[1] > 0)
    data = gateway.home / "data"

    texts = [file.read_bytes() for file in data.rglob("*") if file.is_file()]

    assert not any(word in text for text in texts for word in (b"secret-", ALICE.encode()))


async def test_loses_nothing_while_the_control_plane_is_away(gateway: Gateway) -> None:
    await same_target(gateway, "away")
    await gateway.control.stop()
    for _ in range(20):
        await gateway.call(host="away.localhost", token=ALICE)
        await asyncio.sleep(0.15)
    await gateway.control.start()

    await until(lambda: classes(gateway.control, "e-away", ALICE) == (0, 20, 0, 0, 0))


async def test_loses_and_doubles_nothing_when_the_sidecar_is_killed(gateway: Gateway) -> None:
    await same_target(gateway, "killed")
    for _ in range(3):
        await gateway.call("/sse?count=1&pause=0", host="killed.localhost", token=ALICE)
    await until(lambda: classes(gateway.control, "e-killed", ALICE)[1] == 3)
    boots = {scrape.boot_id for scrape in gateway.control.stats}
    assert gateway.sidecar is not None

    os.kill(gateway.sidecar.pid, signal.SIGKILL)
    await asyncio.to_thread(gateway.sidecar.wait, 20)
    for _ in range(4):
        await gateway.call(host="killed.localhost", token=ALICE)
    gateway.spawn()

    await until(lambda: classes(gateway.control, "e-killed", ALICE) == (0, 7, 0, 0, 0))
    # The sample that was on its way to the dead one may be lost, those after it wait.
    await until(lambda: sampled(gateway.control, "e-killed") in {6, 7})
    assert {scrape.boot_id for scrape in gateway.control.stats} == boots
    assert are_in_order(gateway.control.stats)


async def test_begins_anew_with_a_new_haproxy(gateway: Gateway) -> None:
    await same_target(gateway, "anew")
    await gateway.call(host="anew.localhost", token=ALICE)
    await until(lambda: classes(gateway.control, "e-anew", ALICE)[1] == 1)
    boots = {scrape.boot_id for scrape in gateway.control.stats}
    haproxy = gateway.haproxy()
    assert haproxy is not None

    haproxy.signal(signal.SIGKILL)
    await haproxy.ended()
    await until(gateway.is_alive)
    with contextlib.suppress(OSError):
        await gateway.call(host="anew.localhost", token=ALICE)

    await until(lambda: classes(gateway.control, "e-anew", ALICE)[1] == 2)
    assert len({scrape.boot_id for scrape in gateway.control.stats} - boots) == 1


def sampled(control: ControlPlane, endpoint: str) -> int:
    found = control.latency(endpoint)
    return sum(found.total) if found else 0


def are_in_order(stats: list[Stats]) -> bool:
    numbers = [scrape.sequence for scrape in stats]
    return numbers == sorted(set(numbers))
