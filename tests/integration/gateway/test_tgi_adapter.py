"""The adapter between a caller and a server that speaks TGI, both real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes.tgi import Tgi
from tests.fakes.tgi_host import Host

HI = [{"role": "user", "content": "hi"}]


@pytest_asyncio.fixture
async def tgi() -> AsyncIterator[Tgi]:
    server = await Tgi().start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def host(tgi: Tgi) -> AsyncIterator[Host]:
    served = await Host(tgi.url).start()
    yield served
    await served.stop()


async def ask(
    host: Host, path: str = "/v1/chat/completions", *, data: Any = None, **fields: Any
) -> tuple[int, Any]:
    """Status and body; a stream's body is its events."""
    body = {"model": "m", **({} if "prompt" in fields else {"messages": HI}), **fields}
    sent = json.dumps(body).encode() if data is None else data
    async with aiohttp.ClientSession() as session, session.post(host.url + path, data=sent) as got:
        if got.content_type == "text/event-stream":
            return got.status, events(await got.read())
        return got.status, await got.json()


def events(body: bytes) -> list[Any]:
    lines = [line for line in body.split(b"\n\n") if line]
    assert all(line.startswith(b"data: ") for line in lines)
    return [said if (said := line[6:]) == b"[DONE]" else json.loads(said) for line in lines]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_answers_a_chat(host: Host, tgi: Tgi, path: str) -> None:
    status, said = await ask(host, path, max_tokens=20)

    assert status == 200
    assert said["object"] == "chat.completion"
    assert said["model"] == "m"
    (choice,) = said["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello world"}
    assert choice["finish_reason"] == "stop"
    assert said["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    assert tgi.inputs == "<|user|>hi</s><|assistant|>"


@pytest.mark.parametrize(
    ("fields", "content", "finish"),
    [
        ({"max_tokens": 2}, "Hello", "length"),
        ({"stop": "lo"}, "Hel", "stop"),
        ({"stop": ["world", "zzz"]}, "Hello ", "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_ends_where_it_should(
    host: Host, fields: dict[str, Any], content: str, finish: str, stream: bool
) -> None:
    _, said = await ask(host, stream=stream, **fields)

    assert text_and_finish(said) == (content, finish)


def text_and_finish(said: Any) -> tuple[str, str]:
    if isinstance(said, dict):
        choice = said["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]
    choices = [event["choices"][0] for event in said[:-1]]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    return text, choices[-1]["finish_reason"]


async def test_streams_a_chat(host: Host) -> None:
    status, said = await ask(host, stream=True, stream_options={"include_usage": True})

    assert status == 200
    *chunks, usage, done = said
    assert done == b"[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {"content": " world"},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in said[:-1]}) == 1
    assert (usage["choices"], chunks[0]["usage"]) == ([], None)
    assert usage["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}


async def test_gives_as_many_choices_as_asked(host: Host, tgi: Tgi) -> None:
    _, said = await ask(host, n=3, seed=7)

    assert [choice["index"] for choice in said["choices"]] == [0, 1, 2]
    assert said["usage"] == {"prompt_tokens": 1, "completion_tokens": 12, "total_tokens": 13}
    assert sorted(asked["parameters"]["seed"] for asked in tgi.asked) == [7, 8, 9]


async def test_streams_as_many_choices_as_asked(host: Host) -> None:
    _, said = await ask(host, n=2, stream=True)

    texts = {0: "", 1: ""}
    for event in said[:-1]:
        (choice,) = event["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "Hello world", 1: "Hello world"}


async def test_answers_completions_without_a_template(host: Host, tgi: Tgi) -> None:
    host.model = Model(name="m", format="tgi")

    _, said = await ask(host, "/v1/completions", prompt=["a", "b"], echo=True)

    assert [choice["text"] for choice in said["choices"]] == ["aHello world", "bHello world"]
    assert said["object"] == "text_completion"
    assert sorted(asked["inputs"] for asked in tgi.asked) == ["a", "b"]


async def test_streams_completions(host: Host) -> None:
    _, said = await ask(host, "/completions", prompt="Once", stream=True)

    assert "".join(event["choices"][0]["text"] for event in said[:-1]) == "Hello world"


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_a_tool(host: Host, tgi: Tgi, stream: bool) -> None:
    tgi.tokens = ['{"function": {"_name": "wea', 'ther", "city": "Paris"}}']
    weather = {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}

    _, said = await ask(host, tools=[{"type": "function", "function": weather}], stream=stream)

    told = said["choices"] if not stream else [event["choices"][0] for event in said[:-1]]
    messages = [choice.get("message") or choice.get("delta") for choice in told]
    (call,) = next(message["tool_calls"] for message in messages if "tool_calls" in message)
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (
        "weather",
        {"city": "Paris"},
    )
    assert told[-1]["finish_reason"] == "tool_calls"
    assert tgi.parameters["grammar"]["type"] == "json"
    # This template has no place for tools, so the model learns of them in the message.
    assert '"name": "weather"' in tgi.inputs


async def test_takes_the_template_for_tools(host: Host, tgi: Tgi) -> None:
    host.model = Model(
        name="m", format="tgi", chat_template="no", tool_template="{{ tools[0].function.name }}"
    )

    await ask(host, tools=[{"type": "function", "function": {"name": "weather"}}])

    assert tgi.inputs == "weather"


@pytest.mark.parametrize(("adds", "inputs"), [(True, "x"), (False, "<s>x")])
async def test_sends_the_first_token_once(host: Host, tgi: Tgi, adds: bool, inputs: str) -> None:
    tgi.adds_bos = adds
    host.model = Model(name="m", format="tgi", chat_template="{{ bos_token }}x", bos_token="<s>")

    for _ in range(3):
        await ask(host)

    assert {asked["inputs"] for asked in tgi.asked} == {inputs}
    assert tgi.tokenized == 1


@pytest.mark.parametrize(
    ("failure", "status", "kind", "code"),
    [
        ((422, "inputs too long", "validation"), 400, "invalid_request_error", "validation"),
        ((429, "Model is overloaded", "overloaded"), 429, "rate_limit_error", "overloaded"),
        ((424, "Request failed", "generation"), 502, "server_error", "generation"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_tells_what_the_server_refuses(
    host: Host, tgi: Tgi, failure: Any, status: int, kind: str, code: str, stream: bool
) -> None:
    tgi.failure = failure

    told, said = await ask(host, stream=stream)

    expected = {"message": failure[1], "type": kind, "param": None, "code": code}
    assert (told, said) == (status, {"error": expected})


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(
    ("breaks_off", "message"),
    [(False, "Request failed"), (True, "The model's server ended its answer early.")],
)
async def test_tells_in_the_stream_what_went_wrong(
    host: Host, tgi: Tgi, breaks_off: bool, message: str, n: int
) -> None:
    tgi.breaks_after, tgi.breaks_off = 2, breaks_off

    status, said = await ask(host, stream=True, n=n)

    assert status == 200
    assert said[-1]["error"]["message"] == message
    assert b"[DONE]" not in said


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("stream", [False, True])
async def test_says_so_when_nobody_answers(host: Host, n: int, stream: bool) -> None:
    host.replica_url = "http://127.0.0.1:1"

    status, said = await ask(host, n=n, stream=stream)

    assert (status, said["error"]["message"]) == (502, "The model's server did not answer.")


@pytest.mark.parametrize("n", [1, 2])
async def test_leaves_the_server_when_the_caller_leaves(host: Host, tgi: Tgi, n: int) -> None:
    tgi.waits_after = 1
    body = {"model": "m", "messages": HI, "stream": True, "n": n}
    async with aiohttp.ClientSession() as session:
        got = await session.post(host.url + "/v1/chat/completions", json=body)
        await got.content.readany()
        got.close()

    await asyncio.wait_for(tgi.left_early.wait(), 10)


@pytest.mark.parametrize(
    ("path", "data", "status", "message"),
    [
        ("/v1/chat/completions", b"{", 400, "The body is not JSON."),
        ("/v1/chat/completions", b"[1]", 400, "The body must be a JSON object."),
        ("/v1/chat/completions", b"\xff", 400, "The body is not JSON."),
        ("/v1/chat/completions", b"[" * 100_000, 400, "The body is not JSON."),
        (
            "/v1/embeddings",
            b"{}",
            404,
            "m is served by TGI: it has /chat/completions and /completions.",
        ),
    ],
)
async def test_refuses_what_it_cannot_read(
    host: Host, path: str, data: bytes, status: int, message: str
) -> None:
    told, said = await ask(host, path, data=data)

    assert (told, said["error"]["message"]) == (status, message)


@pytest.mark.parametrize(
    ("notice", "message"),
    [
        ("", "No chat template is known for m: set model.chat_template."),
        (
            "hub said 401",
            "No chat template is known for m (hub said 401): set model.chat_template.",
        ),
    ],
)
async def test_says_that_it_has_no_template(host: Host, notice: str, message: str) -> None:
    host.model = Model(name="m", format="tgi", notice=notice)

    status, said = await ask(host)

    assert (status, said["error"]["message"]) == (503, message)
    assert said["error"]["code"] == "no_chat_template"


async def test_says_what_the_template_refused(host: Host) -> None:
    host.model = Model(
        name="m", format="tgi", chat_template="{{ raise_exception('Roles must alternate') }}"
    )

    status, said = await ask(host)

    assert status == 400
    assert said["error"]["message"] == (
        "The chat template refused this conversation: Roles must alternate."
    )


async def test_passes_on_what_traces_and_nothing_that_opens(host: Host, tgi: Tgi) -> None:
    headers = {"X-Request-Id": "r-1", "Authorization": "Bearer x", "Cookie": "a=b"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await session.post(host.url + "/chat/completions", json={"model": "m", "messages": HI})

    assert tgi.headers[-1]["x-request-id"] == "r-1"
    assert not {"authorization", "cookie"} & tgi.headers[-1].keys()


async def test_carries_any_text_through(host: Host, tgi: Tgi) -> None:
    text = '"quoted" \\ 你好 🤖 \u2028 <b>&amp;</b>\n\t'
    tgi.tokens = [text]

    _, said = await ask(host, messages=[{"role": "user", "content": text}])

    assert tgi.inputs == f"<|user|>{text}</s><|assistant|>"
    assert said["choices"][0]["message"]["content"] == text


async def test_serves_a_long_conversation(host: Host, tgi: Tgi) -> None:
    long = "word " * 400_000

    status, _ = await ask(host, messages=[{"role": "user", "content": long}])

    assert (status, len(tgi.inputs)) == (200, len(long) + len("<|user|></s><|assistant|>"))


async def test_renders_other_chats_while_a_template_never_ends(host: Host) -> None:
    good = host.model
    await ask(host)
    host.model = Model(name="bad", format="tgi", chat_template=ENDLESS)
    bad = asyncio.create_task(ask(host))
    await asyncio.sleep(0.1)
    host.model = good

    answers = [await ask(host) for _ in range(5)]

    assert not bad.done()
    assert {status for status, _ in answers} == {200}
    status, said = await bad
    assert (status, said["error"]["code"]) == (400, "template_timeout")


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
