"""Requests that end the replica they come to: few replicas go down, and the caller reads why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes import mortal
from tests.fakes.control_plane_gateway import replica, service
from tests.fakes.mortal import Mortal
from tests.integration.gateway.harness import (
    ALICE,
    Answer,
    Gateway,
    haproxy_program,
    hello,
    until,
)

VERSION = subprocess.run([haproxy_program(), "-v"], capture_output=True, text=True, check=True)
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif("version 2.6" in VERSION.stdout, reason="2.6 tries three times elsewhere"),
]

CLOSED = "The service closed the connection without an answer, as it does when it ends."
UNREADABLE = "The service answered something that is not HTTP, or an answer with a head of more"


@dataclass
class Stage:
    """A gateway whose service `hello` has mortal replicas; `gone` were among them."""

    gateway: Gateway
    folder: Path
    replicas: list[Mortal] = field(default_factory=list)
    gone: list[Mortal] = field(default_factory=list)

    async def serve(self, count: int, **fields: Any) -> None:
        """Have so many replicas that live."""
        self.gone += [each for each in self.replicas if each.is_dead]
        self.replicas = [each for each in self.replicas if not each.is_dead]
        self.replicas += [mortal.start(self.folder) for _ in range(count - len(self.replicas))]
        addresses = (each.address for each in self.replicas)
        control = self.gateway.control
        await control.applied(await control.put(service("hello", *addresses, **fields)))

    async def ask(self, path: str, method: str = "GET", **fields: Any) -> Answer:
        """Ask; a connection that is closed instead of an answer has status 0."""
        with contextlib.suppress(aiohttp.ServerDisconnectedError):
            return await self.gateway.call(path, token=ALICE, method=method, **fields)
        return Answer(0, {}, b"")

    async def status(self, path: str, method: str = "GET") -> int:
        return (await self.ask(path, method)).status

    async def dead(self, count: int) -> int:
        """How many are dead, `count` at least."""
        await until(lambda: sum(each.is_dead for each in self.replicas) >= count)
        return sum(each.is_dead for each in self.replicas)

    async def all_asked(self, path: str) -> None:
        await until(lambda: all(f"GET {path}" in each.asked for each in self.replicas))

    async def told(self, count: int) -> list[tuple[str, str, str]]:
        """Replica, method and path of what the gateway told of, so many at least."""
        looks = self.gateway.control.stats

        def found() -> list[tuple[str, str, str]]:
            told = (each for look in looks for each in look.unanswered)
            return [(each.replica, each.method, each.path) for each in told]

        await until(lambda: len(found()) >= count)
        return found()

    def asked(self) -> list[str]:
        return [line for each in [*self.replicas, *self.gone] for line in each.asked]


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with hello(tmp_path) as (gateway, _):
        stage = Stage(gateway, tmp_path)
        try:
            await stage.serve(3)
            yield stage
        finally:
            for each in [*stage.replicas, *stage.gone]:
                each.kill()


@pytest.mark.parametrize("path", ["/die", "/a/die?x=1"])
async def test_one_request_ends_two_replicas_at_most(stage: Stage, path: str) -> None:
    got = await stage.status(path)

    assert (got, await stage.dead(2), len(stage.asked())) == (502, 2, 2)


async def test_a_client_that_repeats_it_ends_only_the_one_it_comes_to(stage: Stage) -> None:
    seen = []
    for number in range(4):
        got = await stage.status("/die")
        seen.append((got, await stage.dead(1 if number else 2)))
        await stage.serve(3)

    assert seen == [(502, 2), (502, 1), (502, 1), (502, 1)]
    assert len(stage.asked()) == 5


async def test_other_paths_and_methods_are_still_tried_elsewhere(stage: Stage) -> None:
    await stage.status("/mute")
    await stage.status("/other/mute")
    await stage.status("/mute", "PUT")

    assert sorted(stage.asked()) == ["GET /mute"] * 2 + ["GET /other/mute"] * 2 + ["PUT /mute"] * 2


async def test_what_may_not_run_twice_runs_once(stage: Stage) -> None:
    got = [await stage.status("/die", "POST"), await stage.status("/die", "POST")]

    assert stage.asked() == ["POST /die"] * 2
    # On a kept connection HAProxy closes without a word, as if it had not got the request.
    assert set(got) <= {0, 502}


async def test_a_replica_that_dies_of_something_else_costs_no_request(stage: Stage) -> None:
    for number in range(3):
        path = f"/{number}/slow"
        calls = [asyncio.create_task(stage.status(path)) for _ in range(6)]
        await stage.all_asked(path)

        stage.replicas[0].kill()

        assert await asyncio.gather(*calls) == [200] * 6
        await stage.serve(3)


async def test_several_that_die_at_once_cost_no_request_that_comes_then(stage: Stage) -> None:
    for each in stage.replicas[:2]:
        each.kill()

    got = [await stage.status("/") for _ in range(10)]

    assert got == [200] * 10


async def test_the_only_replica_ends_and_its_next_one_does_but_no_third(stage: Stage) -> None:
    for each in stage.replicas[1:]:
        each.kill()
    await stage.serve(1)
    call = asyncio.create_task(stage.status("/die"))
    await stage.dead(1)
    await stage.serve(1)

    got = await call

    assert got == 502
    assert stage.asked().count("GET /die") == 2


@pytest.mark.parametrize(
    ("path", "method", "words"),
    [
        ("/mute", "GET", CLOSED),
        ("/mute", "POST", CLOSED),
        ("/junk", "GET", UNREADABLE),
        ("/junk", "POST", UNREADABLE),
        ("/long", "GET", UNREADABLE),
    ],
)
async def test_the_caller_reads_what_was_wrong(
    stage: Stage, path: str, method: str, words: str
) -> None:
    plain = await stage.ask(path, method)
    page = await stage.ask(path, method, headers={"Accept": "text/html", "Connection": "close"})

    assert plain.json["error"]["message"].startswith(words)
    assert (page.status, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert words in page.body.decode()


async def test_an_openai_client_reads_it_in_its_form(stage: Stage) -> None:
    await stage.serve(3, model=Model(name="m"))

    body = {"model": "m", "messages": []}
    headers = {"Connection": "close"}
    host = "gateway.localhost"
    got = await stage.ask("/v1/mute", "POST", host=host, headers=headers, data=json.dumps(body))

    assert (got.status, got.json["error"]["type"]) == (502, "server_error")
    assert got.json["error"]["message"].startswith(CLOSED)


async def test_the_server_hears_which_replica_did_not_answer_what(stage: Stage) -> None:
    replicas = {replica(each.address).id for each in stage.replicas}

    began = time.time()
    await stage.status("/a/die?key=secret")
    told = await stage.told(2)

    assert [(method, path) for _, method, path in told] == [("GET", "/a/die")] * 2
    assert len({who for who, _, _ in told} & replicas) == 2
    (look,) = [each for each in stage.gateway.control.stats if each.unanswered]
    assert all(began - 1 < each.at < time.time() + 1 for each in look.unanswered)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("/$(id);`x`|&'\"/mute", "/$(id);`x`|&'\"/mute"),
        ("/../../etc/mute", "/../../etc/mute"),
        ("/%C3%A9%E2%80%AE/mute", "/%C3%A9%E2%80%AE/mute"),
        ("/%0a%00<b>/mute", "/%0a%00<b>/mute"),
        (f"/{'x' * 9000}/mute", f"/{'x' * 196}..."),
    ],
)
async def test_a_path_is_told_in_few_and_harmless_characters(
    stage: Stage, sent: str, told: str
) -> None:
    head = f"POST {sent} HTTP/1.1\r\nHost: hello.localhost\r\nAuthorization: Bearer {ALICE}\r\n"
    await stage.gateway.raw(head.encode() + b"Content-Length: 0\r\nConnection: close\r\n\r\n")

    ((_, method, path),) = await stage.told(1)

    assert (method, path) == ("POST", told)


async def test_what_was_answered_or_is_only_unreadable_is_not_told(stage: Stage) -> None:
    for path in ("/", "/junk", "/mute"):
        await stage.status(path, "POST")

    assert [path for _, _, path in await stage.told(1)] == ["/mute"]


async def test_the_next_sidecar_tells_what_ended_without_one(stage: Stage) -> None:
    sidecar = stage.gateway.sidecar
    assert sidecar is not None
    sidecar.kill()
    sidecar.wait()

    await stage.status("/die")
    stage.gateway.spawn()

    assert [path for _, _, path in await stage.told(2)] == ["/die", "/die"]


async def test_one_that_is_only_slow_is_told_so(stage: Stage) -> None:
    await stage.serve(3, idle_timeout_seconds=1)

    got = await stage.status("/slow")

    assert (got, stage.asked()) == (504, ["GET /slow"])
