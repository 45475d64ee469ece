"""A token in the header of Anthropic's or Azure's clients opens the same, and stays with us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
import websockets

from gateway.schema import Model, RateLimit
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, BOB, Gateway, hello, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADERS = ["X-Api-Key", "Api-Key", "x-api-key", "API-KEY"]
PATH_ROUTE = "/services/main/hello"
ASKED: Any = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def models(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path_factory.mktemp("keys")) as (gateway, targets):
        address = targets[0].address
        await gateway.control.applied(
            await gateway.control.put(
                service("m", address, model=Model(name="m", prefix="/usage/v1")),
                service("echo", address, model=Model(name="echo")),
                service("opened", address, auth=False),
                service("limited", address, rate_limits=[RateLimit(rps=0.1, burst=0)]),
                key("dsk_s_m", endpoints=["e-m"]),
            )
        )
        yield gateway, targets[0]


@pytest.fixture
def gateway(models: tuple[Gateway, Target]) -> Gateway:
    return models[0]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    "value", [ALICE, f'"{ALICE}"', f" {ALICE} ", f"Bearer {ALICE}", f'"bearer  {ALICE}" ']
)
async def test_lets_a_token_in(gateway: Gateway, header: str, value: str) -> None:
    answer = await gateway.call("/a?b=c", headers={header: value})

    assert (answer.status, answer.json["path"]) == (200, "/a?b=c")
    assert answer.header_of_request(header.lower()) == []
    assert ALICE.encode() not in answer.body


@pytest.mark.parametrize("header", HEADERS)
async def test_lets_it_in_below_a_path_and_at_the_openai_api(gateway: Gateway, header: str) -> None:
    below = await gateway.call(f"{PATH_ROUTE}/x", host="localhost", headers={header: ALICE})
    body = b'{"model": "echo"}'
    chat = await gateway.call(
        "/v1/chat/completions", host="localhost", method="POST", data=body, headers={header: ALICE}
    )
    listed = await gateway.call("/v1/models", host="localhost", headers={header: "dsk_s_m"})

    assert (below.status, below.json["path"]) == (200, "/x")
    assert (chat.status, chat.header_of_request(header.lower())) == (200, [])
    assert [each["id"] for each in listed.json["data"]] == ["m"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    ("value", "status"),
    [(BOB, 403), ("dsk_u_wrong", 401), (f"{ALICE}x", 401), (f"x-{ALICE}", 401), ("sk-ant", 401)],
)
async def test_refuses_others(gateway: Gateway, header: str, value: str, status: int) -> None:
    answer = await gateway.call(headers={header: value})

    assert answer.status == status


async def test_says_which_headers_it_reads(gateway: Gateway) -> None:
    answer = await gateway.call("/v1/models", host="localhost")

    assert answer.status == 401
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert "X-Api-Key" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {ALICE}", "X-Api-Key": BOB}, 200),
        ({"Authorization": f"Bearer {BOB}", "X-Api-Key": ALICE}, 403),
        ({"Authorization": "Bearer sk-app", "X-Api-Key": ALICE}, 200),
        ({"Authentication": f"Bearer {BOB}", "X-Api-Key": ALICE}, 403),
        ({"X-Api-Key": ALICE, "Api-Key": BOB}, 200),
        ({"X-Api-Key": BOB, "Api-Key": ALICE}, 403),
        ({"X-Api-Key": "sk-app", "Api-Key": ALICE}, 200),
    ],
)
async def test_takes_the_first_token_that_it_knows(
    gateway: Gateway, headers: dict[str, str], status: int
) -> None:
    answer = await gateway.call(headers=headers)

    assert answer.status == status
    assert b"dsk_" not in answer.body


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("host", ["hello.localhost", "opened.localhost"])
async def test_leaves_the_application_its_own_key(gateway: Gateway, header: str, host: str) -> None:
    kept = await gateway.call(host=host, token=ALICE, headers={header: "sk-of-the-app"})
    ours = await gateway.call(host=host, token=ALICE, headers={header: BOB})

    assert kept.header_of_request(header.lower()) == ["sk-of-the-app"]
    assert ours.header_of_request(header.lower()) == []


async def test_takes_the_token_off_wherever_it_stands_in_a_list(gateway: Gateway) -> None:
    text = await gateway.raw(
        f"GET / HTTP/1.1\r\nHost: hello.localhost\r\nAuthorization: Bearer {ALICE}\r\n"
        f"X-Api-Key: {BOB}\r\nX-Api-Key: sk-app\r\nConnection: close\r\n\r\n".encode()
    )

    assert text.startswith(b"HTTP/1.1 200")
    assert BOB.encode() not in text


@pytest.mark.parametrize("header", HEADERS)
async def test_upgrades_to_a_websocket(gateway: Gateway, header: str) -> None:
    url = f"ws://127.0.0.1:{gateway.port}{PATH_ROUTE}/ws"
    async with websockets.connect(url, additional_headers={header: ALICE}) as socket:
        await socket.send("hi")
        assert await socket.recv() == "hi"


async def test_limits_its_key_whichever_header_it_comes_in(gateway: Gateway) -> None:
    bounded = key("dsk_s_bound", projects=["p1"], rps=0.1)
    await gateway.control.applied(await gateway.control.put(bounded))
    names = ("X-Api-Key", "Api-Key", "Authorization")
    values = ("dsk_s_bound", "dsk_s_bound", "Bearer dsk_s_bound")

    found = [
        (await gateway.call(headers={name: value})).status
        for name, value in zip(names, values, strict=True)
    ]

    assert found == [200, 429, 429]


async def test_answers_browsers_that_ask_first(gateway: Gateway) -> None:
    asked = "x-api-key,anthropic-version,content-type"
    answer = await gateway.call(
        "/v1/messages",
        host="localhost",
        method="OPTIONS",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
    )

    assert (answer.status, answer.headers["access-control-allow-headers"]) == (204, asked)


async def test_counts_for_the_key(gateway: Gateway) -> None:
    for header in ("X-Api-Key", "Api-Key"):
        await gateway.call("/v1/models/m", host="m.localhost", headers={header: "dsk_s_m"})

    await until(lambda: gateway.control.counts("e-m", "dsk_s_m").by_class[1] == 2)


async def test_serves_anthropics_client(gateway: Gateway) -> None:
    def ask() -> list[int]:
        client = anthropic.Anthropic(base_url=gateway.url, api_key="dsk_s_m", max_retries=0)
        said = client.messages.create(**ASKED).usage
        with client.messages.stream(**ASKED) as stream:
            streamed = stream.get_final_message().usage
        return [said.input_tokens, said.output_tokens, streamed.output_tokens]

    assert await asyncio.to_thread(ask) == [4, 3, 3]


async def test_tells_anthropics_client_of_a_bad_key(gateway: Gateway) -> None:
    client = anthropic.Anthropic(base_url=gateway.url, api_key="dsk_s_no", max_retries=0)

    with pytest.raises(anthropic.AuthenticationError, match="valid token"):
        await asyncio.to_thread(lambda: client.messages.create(**ASKED))


async def test_serves_azures_client(gateway: Gateway) -> None:
    def ask() -> int:
        client = openai.AzureOpenAI(
            base_url=f"{gateway.url}/services/main/m/usage/v1",
            api_key="dsk_s_m",
            api_version="2024-10-21",
            max_retries=0,
        )
        usage = client.chat.completions.create(model="m", messages=ASKED["messages"]).usage
        return usage.completion_tokens if usage else 0

    assert await asyncio.to_thread(ask) == 3


async def test_holds_what_it_lets_in(tmp_path: Path) -> None:
    async with hello(tmp_path) as (gateway, targets):
        control: ControlPlane = gateway.control
        await control.applied(await control.put(service("hello")))
        asked = [
            asyncio.create_task(gateway.call(headers={header: ALICE}))
            for header in ("X-Api-Key", "Api-Key")
        ]
        refused = await gateway.call(headers={"X-Api-Key": "dsk_u_no"})
        await control.wait_status(lambda status: status.held.get("e-hello") == 2)
        await control.put(service("hello", targets[0].address))
        answers = await asyncio.gather(*asked)

    assert refused.status == 401
    assert [answer.status for answer in answers] == [200, 200]
    assert not any(b"dsk_" in answer.body for answer in answers)
