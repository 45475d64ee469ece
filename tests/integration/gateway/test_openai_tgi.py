"""Models of format tgi on the OpenAI host, through the whole gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from gateway.schema import Model
from tests.e2e.model import tools
from tests.fakes.control_plane_gateway import service
from tests.fakes.tgi import BOS, EOS, Tgi
from tests.fakes.tgi_host import CHATML
from tests.integration.gateway.harness import ALICE, BOB, Answer, Gateway, hello, until
from tests.node import tools as node

OPENAI = "gateway.localhost"
MODEL = Model(name="org/chat", format="tgi", chat_template=CHATML, bos_token=BOS, eos_token=EOS)
HI = [{"role": "user", "content": "hi"}]

# The first session of a machine installs the clients.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Tgi]]:
    folder: Path = tmp_path_factory.mktemp("tgi")
    async with hello(folder) as (gateway, _):
        tgi = await Tgi().start()
        address = tgi.url.removeprefix("http://")
        await gateway.control.applied(
            await gateway.control.put(service("chat", address, model=MODEL))
        )
        yield gateway, tgi
        await tgi.stop()


@pytest.fixture
def gateway(served: tuple[Gateway, Tgi]) -> Gateway:
    return served[0]


@pytest.fixture
def tgi(served: tuple[Gateway, Tgi]) -> Tgi:
    return served[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def embedder(served: tuple[Gateway, Tgi]) -> AsyncIterator[str]:
    """The name of a model of format openai that answers as the field's embedding servers do."""
    app = web.Application()
    app.router.add_post("/v1/embeddings", embed)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = "{}:{}".format(*runner.addresses[0])
    model = Model(name="org/embed", format="openai", prefix="/v1")
    control = served[0].control
    await control.applied(await control.put(service("embed", address, model=model)))
    yield model.name
    await runner.cleanup()


async def embed(request: web.Request) -> web.Response:
    asked = await request.json()
    numbers: Any = [0.5, -2.0]
    if asked.get("encoding_format") == "base64":
        numbers = base64.b64encode(struct.pack("<2f", *numbers)).decode()
    data = [{"object": "embedding", "index": 0, "embedding": numbers}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return web.json_response(
        {"object": "list", "model": asked["model"], "data": data, "usage": usage}
    )


async def ask(gateway: Gateway, path: str = "/v1/chat/completions", **fields: Any) -> Answer:
    token = fields.pop("token", ALICE)
    body = json.dumps({"model": "org/chat", "messages": HI, **fields})
    return await gateway.call(path, host=OPENAI, token=token, method="POST", data=body)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_answers_a_chat(gateway: Gateway, tgi: Tgi, path: str) -> None:
    answer = await ask(gateway, path)

    assert answer.status == 200, answer.body
    assert answer.json["choices"][0]["message"]["content"] == "Hello world"
    assert tgi.inputs == "<|user|>hi</s><|assistant|>"


async def test_streams_a_chat(gateway: Gateway) -> None:
    answer = await ask(gateway, stream=True)

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("words", [5_000, 600_000])
async def test_answers_a_long_chat(gateway: Gateway, tgi: Tgi, words: int) -> None:
    answer = await ask(gateway, messages=[{"role": "user", "content": "word " * words}])

    assert answer.status == 200, answer.body
    assert tgi.inputs.count("word ") == words


@pytest.mark.parametrize("name", ["brief", "lengthy"])
async def test_counts_the_tokens_of_streams_and_whole_answers(
    gateway: Gateway, tgi: Tgi, name: str
) -> None:
    address = tgi.url.removeprefix("http://")
    counted = service(name, address, model=MODEL.model_copy(update={"name": name}))
    await gateway.control.applied(await gateway.control.put(counted))
    words = [{"role": "user", "content": "hi " * (1 if name == "brief" else 50_000)}]

    for is_stream in (True, False):
        answer = await ask(gateway, model=name, messages=words, stream=is_stream)
        assert answer.status == 200, answer.body

    await until(lambda: gateway.control.counts(f"e-{name}", ALICE).tokens_out == 8)


async def test_shows_the_model_nothing_of_the_caller(gateway: Gateway, tgi: Tgi) -> None:
    await ask(gateway)

    assert ALICE not in json.dumps(tgi.headers)
    assert "authorization" not in tgi.headers[-1]


async def test_is_closed_to_others(gateway: Gateway) -> None:
    assert (await ask(gateway, token=BOB)).status == 404


async def test_serves_the_clients_of_others(gateway: Gateway) -> None:
    venv = await asyncio.to_thread(tools.environment)
    script = str(Path(__file__).with_name("openai_clients.py"))

    process = await asyncio.create_subprocess_exec(
        *(str(venv / "bin" / "python"), script, f"{gateway.url}/v1", OPENAI, "org/chat"),
        env={"PATH": os.defpath, "OPENAI_API_KEY": ALICE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, errors = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode == 0, errors.decode()
    said = json.loads(told)
    hello = ["Hello world", "stop"]
    chats = ("whole", "stream", "async whole", "async stream")
    assert {said[name] == hello for name in chats} == {True}, said
    assert said["huggingface whole"] == said["huggingface stream"] == hello
    assert said["usage"] == [1, 4]
    assert said["logprobs"] == ["Hel", "lo", " world"]
    assert said["completion"] == "Hello world"
    assert "org/chat" in said["models"]
    assert said["error"] == [400, "logit_bias", "TGI has no counterpart for bias on single tokens."]
    assert said["wrong key"] == ["AuthenticationError", 401, "invalid_api_key"]
    assert said["unknown model"] == ["NotFoundError", 404, "model_not_found"]


@pytest.mark.parametrize("path", ["", "/v1"])
async def test_serves_the_client_for_node(gateway: Gateway, embedder: str, path: str) -> None:
    url = f"http://gateway.localhost:{gateway.port}{path}"

    said = await asyncio.to_thread(node.call, url, "org/chat", embedder, key=ALICE)

    assert said["whole"] == said["stream"] == ["Hello world", "stop"]
    assert {"org/chat", embedder} <= set(said["models"])
    assert said["wrongKey"] == ["AuthenticationError", 401, "invalid_api_key"]
    assert said["unknownModel"] == ["NotFoundError", 404, "model_not_found"]
    assert said["embedding"] == [0.5, -2.0]


async def test_holds_a_chat_until_a_replica_is_ready(gateway: Gateway, tgi: Tgi) -> None:
    asleep = service("asleep", model=MODEL.model_copy(update={"name": "asleep"}))
    await gateway.control.applied(await gateway.control.put(asleep))
    waiting = asyncio.create_task(ask(gateway, model="asleep"))
    await asyncio.sleep(0.3)
    assert not waiting.done()

    address = tgi.url.removeprefix("http://")
    awake = service("asleep", address, model=asleep.model)
    await gateway.control.put(awake)

    answer = await asyncio.wait_for(waiting, 20)
    assert answer.status == 200, answer.body
    assert float(answer.headers["x-cold-start"]) > 0
