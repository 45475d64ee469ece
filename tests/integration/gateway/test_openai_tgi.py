"""Models of format tgi on the OpenAI host, through the whole gateway."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.e2e.model import tools
from tests.fakes.control_plane_gateway import service
from tests.fakes.tgi import BOS, EOS, Tgi
from tests.fakes.tgi_host import CHATML
from tests.integration.gateway.harness import ALICE, BOB, Answer, Gateway, hello

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
