"""Tokens that a model used are counted by what it says, once, however its answer comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.schema import Model
from gateway.state.slot_kinds import Kind, kind_of
from tests.fakes.control_plane_gateway import key, service
from tests.integration.gateway.harness import ALICE, METRICS_TOKEN, Answer, Gateway, hello, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
MESSAGES, EMBEDDINGS = "/v1/messages", "/v1/embeddings"
MODEL = Model(name="m", prefix="/usage/v1")
OPENAI = "gateway.localhost"
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
# Longer than HAProxy's buffer, so that the sidecar routes it.
LONG = 100_000

Counted = tuple[int, int, int]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with hello(tmp_path_factory.mktemp("tokens")) as (gateway, targets):
        address = targets[0].address
        await gateway.control.applied(
            await gateway.control.put(
                service("m", address, model=MODEL),
                service("plain", address),
            )
        )
        yield gateway


async def new_key(gateway: Gateway, name: str) -> str:
    token = f"dsk_s_{name}"
    await gateway.control.applied(await gateway.control.put(key(token, projects=["p1"])))
    return token


async def ask(gateway: Gateway, path: str, token: str, fields: Any, **more: Any) -> Answer:
    return await gateway.call(
        path,
        token=token,
        method="POST",
        data=json.dumps({"model": "m", **fields}).encode(),
        headers={"Content-Type": "application/json"},
        **{"host": OPENAI, **more},
    )


def counted(gateway: Gateway, token: str, endpoint: str = "e-m") -> Counted:
    found = gateway.control.counts(endpoint, token)
    return found.usages, found.tokens_in, found.tokens_out


CASES: list[tuple[str, dict[str, Any], Counted]] = [
    (CHAT, {}, (1, 7, 3)),
    (CHAT, {"padding": 14_000}, (1, 7, 3)),
    (CHAT, {"trailing": 300}, (1, 7, 3)),
    (CHAT, {"trailing": 510}, (1, 7, 3)),
    (CHAT, {"padding": 4000, "trailing": 4000}, (1, 7, 3)),
    (CHAT, {"padding": 20_000}, (1, 7, 3)),
    (CHAT, {"padding": 1_000_000}, (1, 7, 3)),
    (CHAT, {"chunked": True}, (1, 7, 3)),
    (CHAT, {"chunked": True, "padding": 40_000, "step": 5000}, (1, 7, 3)),
    (CHAT, USAGE, (1, 7, 3)),
    (CHAT, {**USAGE, "step": 1}, (1, 7, 3)),
    (CHAT, {**USAGE, "step": 7}, (1, 7, 3)),
    (CHAT, {**USAGE, "padding": 100_000, "step": 3333}, (1, 7, 3)),
    (CHAT, {"stream": True}, (0, 0, 0)),
    (CHAT, {"stream": True, "padding": 100_000}, (0, 0, 0)),
    (CHAT, {**USAGE, "silent": True}, (0, 0, 0)),
    (CHAT, {"silent": True}, (0, 0, 0)),
    (CHAT, {"silent": True, "padding": 20_000}, (0, 0, 0)),
    (CHAT, {"gzip": True}, (0, 0, 0)),
    (CHAT, {**USAGE, "gzip": True}, (0, 0, 0)),
    (RESPONSES, {}, (1, 7, 3)),
    (RESPONSES, {"padding": 20_000}, (1, 7, 3)),
    (RESPONSES, {"stream": True}, (1, 7, 3)),
    (RESPONSES, {"stream": True, "padding": 100_000, "step": 20_000}, (1, 7, 3)),
    (RESPONSES, {"stream": True, "step": 3}, (1, 7, 3)),
    (MESSAGES, {}, (1, 7, 3)),
    (MESSAGES, {"padding": 20_000}, (1, 7, 3)),
    (MESSAGES, {"stream": True}, (1, 7, 3)),
    (MESSAGES, {"stream": True, "padding": 100_000, "step": 2}, (1, 7, 3)),
    (MESSAGES, {"stream": True, "silent": True}, (0, 0, 0)),
    (EMBEDDINGS, {}, (1, 7, 0)),
    (EMBEDDINGS, {"padding": 200_000}, (1, 7, 0)),
]


@pytest.mark.parametrize("filler", [0, LONG])
@pytest.mark.parametrize(
    ("path", "fields", "expected"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
async def test_counts_what_an_answer_says(
    gateway: Gateway,
    request: pytest.FixtureRequest,
    path: str,
    fields: dict[str, Any],
    expected: Counted,
    filler: int,
) -> None:
    token = await new_key(gateway, f"case{hash(request.node.name) % 10**12}")
    answer = await ask(gateway, path, token, {"filler": "x" * filler, **fields})
    # Another answer, which is counted after this one.
    await ask(gateway, path, token, {"filler": "x" * filler})

    assert answer.status == 200
    one, tokens_in, tokens_out = expected
    last_out = 0 if path == EMBEDDINGS else 3
    total = (one + 1, tokens_in + 7, tokens_out + last_out)
    await until(lambda: counted(gateway, token) == total, seconds=10)


@pytest.mark.parametrize("filler", [0, LONG])
async def test_passes_a_watched_answer_on_unchanged(gateway: Gateway, filler: int) -> None:
    for fields in ({**USAGE, "step": 1009}, {"chunked": True}, {}):
        asked = {"filler": "x" * filler, "padding": 700_000, **fields}
        through = await ask(gateway, CHAT, ALICE, asked)
        plain = await ask(gateway, "/usage" + CHAT, ALICE, asked, host="plain.localhost")

        assert through.body == plain.body
        assert len(through.body) > 700_000


@pytest.mark.parametrize(
    ("host", "path"),
    [("m.localhost", "/usage/v1/messages"), ("localhost", "/services/main/m/usage/v1/messages")],
)
@pytest.mark.parametrize("fields", [{}, {"stream": True}])
async def test_counts_at_the_services_own_address(
    gateway: Gateway, host: str, path: str, fields: dict[str, Any]
) -> None:
    token = await new_key(gateway, f"own{len(path)}{len(fields)}")
    await ask(gateway, path, token, fields, host=host)

    await until(lambda: counted(gateway, token) == (1, 7, 3))


async def test_counts_nothing_for_a_service_without_a_model(gateway: Gateway) -> None:
    token = await new_key(gateway, "plain")
    await ask(gateway, "/usage" + CHAT, token, {}, host="plain.localhost")

    await until(lambda: gateway.control.counts("e-plain", token).by_class[1] == 1)
    assert counted(gateway, token, "e-plain") == (0, 0, 0)


async def test_counts_what_was_said_before_the_caller_left(gateway: Gateway) -> None:
    token = await new_key(gateway, "left")
    asked = {"model": "m", "stream": True, "padding": 30_000_000, "step": 60_000}
    body = json.dumps(asked).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST {MESSAGES} HTTP/1.1\r\nHost: {OPENAI}\r\nX-Api-Key: {token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await reader.readuntil(b"message_start")
    await reader.readexactly(100_000)
    writer.close()

    await until(lambda: counted(gateway, token) == (1, 7, 1))


async def test_counts_many_at_once(gateway: Gateway) -> None:
    token = await new_key(gateway, "many")

    async def some() -> None:
        for fields in [{}, USAGE, {"padding": 20_000}, {**USAGE, "step": 50}] * 10:
            assert (await ask(gateway, CHAT, token, fields)).status == 200

    await asyncio.gather(*(some() for _ in range(10)))

    await until(lambda: counted(gateway, token) == (400, 2800, 1200))


@pytest.mark.parametrize("filler", [0, LONG])
async def test_counts_once_what_was_held(tmp_path: Path, filler: int) -> None:
    async with hello(tmp_path) as (gateway, targets):
        control = gateway.control
        await control.applied(await control.put(service("m", model=MODEL)))
        asked = {"filler": "x" * filler}
        waiting = [
            asyncio.create_task(ask(gateway, CHAT, ALICE, {**asked, **fields}))
            for fields in ({}, USAGE, {"padding": 20_000})
        ]
        await control.wait_status(lambda status: status.held.get("e-m") == 3)
        await control.put(service("m", targets[0].address, model=MODEL))
        answers = await asyncio.gather(*waiting)

        assert [answer.status for answer in answers] == [200] * 3
        await until(lambda: counted(gateway, ALICE) == (3, 21, 9))


async def test_moves_a_service_that_got_a_model(tmp_path: Path) -> None:
    async with hello(tmp_path) as (gateway, targets):
        control, address = gateway.control, targets[0].address
        named = service("hello", address, model=MODEL)
        await control.applied(await control.put(named))
        await ask(gateway, CHAT, ALICE, USAGE)

        await until(lambda: counted(gateway, ALICE, "e-hello") == (1, 7, 3))
        layout = json.loads((gateway.home / "data" / "layout.json").read_text())
        assert kind_of(layout["slots"]["e-hello"]) is Kind.READING


async def test_shows_prometheus_only_what_was_measured(gateway: Gateway) -> None:
    measured, silent = await new_key(gateway, "shown"), await new_key(gateway, "silent")
    await ask(gateway, EMBEDDINGS, measured, {})
    await ask(gateway, CHAT, silent, {"silent": True})
    await until(lambda: gateway.control.counts("e-m", silent).by_class[1] == 1)
    await until(lambda: counted(gateway, measured) == (1, 7, 0))

    plain = {"Accept-Encoding": "identity"}
    scrape = await gateway.call("/-/metrics", host="localhost", headers=plain, token=METRICS_TOKEN)
    page = scrape.body.decode()
    rows = [row for row in page.splitlines() if row.startswith("dstack_gateway_model_tokens")]

    who = f'key="{key(measured).id}",direction='
    assert [row.rpartition(" ")[2] for row in rows if who in row] == ["7", "0"]
    assert not [row for row in rows if key(silent).id in row]
