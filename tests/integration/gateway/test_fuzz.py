"""Whatever is sent, from either side: no crash, no 500, no request that nobody may send.

`FUZZ_SECONDS=300 FUZZ_SEED=7 pytest tests/integration/gateway/test_fuzz.py` looks longer.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.hold.proxy_header import SIGNATURE
from gateway.schema import Model
from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.fakes.tgi_host import CHATML
from tests.integration.gateway import fuzz
from tests.integration.gateway.fuzz import Maker, campaign, statuses_of
from tests.integration.gateway.harness import ALICE, Gateway, hello

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(fuzz.SECONDS + 120)]

KEY_ID = key(ALICE).id
OPENAI = "gateway.localhost"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    async with hello(folder) as (gateway, targets):
        tgi = Model(name="chat", format="tgi", chat_template=CHATML, eos_token="x")
        broken = await asyncio.start_server(lie, "127.0.0.1", 0)
        port = broken.sockets[0].getsockname()[1]
        address = targets[0].address
        await gateway.control.applied(
            await gateway.control.put(
                service("echo", address, model=Model(name="echo")),
                service("chat", address, model=tgi),
                service("liar", f"127.0.0.1:{port}", model=Model(name="liar")),
                service("tgi-liar", f"127.0.0.1:{port}", model=tgi.model_copy(update=LIAR)),
            )
        )
        yield gateway, targets[0]
        broken.close()


LIAR = {"name": "tgi-liar"}
LIES = random.Random(fuzz.SEED)
EVENT = json.dumps(
    {
        "index": 1,
        "token": {"id": 1, "text": "hi", "logprob": -1.0, "special": False},
        "generated_text": None,
        "details": None,
    }
).encode()
STREAMS = (
    b"data:" + EVENT + b"\n\n",
    b"data: " + EVENT + b"\r\n\r\n",
    b"data:" + EVENT[:-1] + b"\n\n",
    b"data:{}\n\ndata:[]\n\ndata:7\n\ndata:null\n\n",
    b"data:\n\n",
    b"event: x\nid: 1\nretry: 0\n: comment\n\n",
    b"data:" + b"x" * 300_000 + b"\n\n",
    b"data:" + EVENT.replace(b'"hi"', b'"\xff\xfe"') + b"\n\n",
    b"data:" + EVENT.replace(b'"hi"', b'"\\ud800"') + b"\n\n",
    b"data:" + EVENT.replace(b"-1.0", b"NaN") + b"\n\n",
    b"data:" + EVENT.replace(b"-1.0", b"1e999") + b"\n\n",
    b'data:{"error": "x", "error_type": 7}\n\n',
    b'data:{"error": {"error": 1}}\n\n',
    b"data:" + b"[" * 100_000 + b"\n\n",
    b"\n\n\n\n",
    b"\xef\xbb\xbfdata:" + EVENT + b"\n\n",
    b"data:[DONE]\n\n",
)
KINDS = (b"text/event-stream", b"application/json", b"text/html", b"\xff", b"")


async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A replica that answers with anything, whatever it is asked, and hangs up."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(a_lie())
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def a_lie() -> bytes:
    pick = LIES.choice
    body = b"".join(pick(STREAMS) for _ in range(pick((0, 1, 2, 5))))
    if pick((True, False, False)):
        body = json.dumps(pick(([], {}, None, {"generated_text": 7}, [[]], "x"))).encode()
    body = body[: pick((len(body), len(body), len(body) // 2))]
    framing = pick(
        (
            b"Content-Length: %d" % len(body),
            b"Content-Length: %d" % (len(body) + 7),
            b"Content-Length: 1\r\nContent-Length: 2",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
        )
    )
    if framing.startswith(b"Transfer"):
        body = b"%x\r\n%s\r\n%s" % (len(body), body, pick((b"0\r\n\r\n", b"0\r\n", b"", b"zz\r\n")))
    status = pick((b"200 OK",) * 6 + (b"500 x", b"422 x", b"204 x", b"999 x", b"101 x"))
    kind = pick((KINDS[0],) * 4 + KINDS)
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\n%s\r\n\r\n%s" % (status, kind, framing, body)


@pytest.fixture
def gateway(served: tuple[Gateway, Target]) -> Gateway:
    return served[0]


@pytest.fixture
def target(served: tuple[Gateway, Target]) -> Target:
    target = served[1]
    target.seen.clear()
    return target


async def unhurt(gateway: Gateway, target: Target, seen: fuzz.Seen, *, least: int) -> None:
    """Both processes are those of before, answer, and have let nothing through or complained."""
    assert seen.wrong == []
    assert seen.count > least, "too few to say anything"
    assert not [path for path in target.seen if "smuggled" in path]
    assert gateway.sidecar is not None
    assert gateway.sidecar.poll() is None
    assert "Traceback" not in gateway.log_text()
    assert (await gateway.call(token=ALICE)).status == 200
    long = json.dumps({"messages": "x" * 50_000, "model": "echo"}).encode()
    headers = {"Content-Type": "application/json"}
    asked: dict[str, Any] = {"host": OPENAI, "token": ALICE, "method": "POST"}
    answer = await gateway.call("/v1/x", data=long, headers=headers, **asked)
    assert answer.status == 200, answer.body


async def test_survives_whatever_a_caller_sends(gateway: Gateway, target: Target) -> None:
    haproxy = gateway.haproxy()
    maker = Maker(random.Random(fuzz.SEED), KEY_ID)
    seen = await campaign(lambda: asyncio.open_connection("127.0.0.1", gateway.port), maker.request)

    assert {200, 400, 401} <= set(seen.statuses)
    await unhurt(gateway, target, seen, least=200)
    assert gateway.haproxy() == haproxy


async def test_reads_each_body_for_the_models_as_haproxy_does(
    gateway: Gateway, target: Target
) -> None:
    """Two readers stand in a row here, so most is sent that both of them read."""
    maker = Maker(random.Random(fuzz.SEED + 1), KEY_ID, models=("echo",))
    seen = await campaign(
        lambda: asyncio.open_connection("127.0.0.1", gateway.port),
        lambda: maker.request(host=OPENAI),
    )

    assert {200, 400} <= set(seen.statuses)
    await unhurt(gateway, target, seen, least=200)


async def test_the_sidecar_survives_what_haproxy_would_not_send(
    gateway: Gateway, target: Target
) -> None:
    """Straight to its door, behind HAProxy's back: whoever gets here is trusted with a key."""
    maker = Maker(random.Random(fuzz.SEED + 2), KEY_ID)
    door = gateway.home / "data" / "openai.sock"
    seen = await campaign(lambda: asyncio.open_unix_connection(str(door)), maker.request)

    target.seen.clear()
    await unhurt(gateway, target, seen, least=200)


async def test_the_hold_survives_whatever_comes_to_its_door(
    gateway: Gateway, target: Target
) -> None:
    maker = Maker(random.Random(fuzz.SEED + 3), KEY_ID)
    door = gateway.home / "data" / "hold.sock"

    def make() -> bytes:
        pick = maker.chance.choice
        words = pick((b"s1:0:0", b"s1:0:0", b"s39:0:0", b"openai:0:0", b"s1:0:0\r\nx", b"", b"s1"))
        entry = b"\x05" + len(words).to_bytes(2, "big") + words
        length = len(entry) + pick((0, 0, 0, 1, -1, 60_000))
        header_start = SIGNATURE + pick((b"\x21\x00", b"\x20\x00", b"\x21\x11", b"\xff\xff"))
        header = header_start + max(length, 0).to_bytes(2, "big") + entry
        return header[: pick((len(header), len(header), 5))] + maker.request()

    seen = await campaign(lambda: asyncio.open_unix_connection(str(door)), make)

    target.seen.clear()
    await unhurt(gateway, target, seen, least=200)


@pytest.mark.parametrize("model", ["liar", "tgi-liar"])
async def test_survives_whatever_a_replica_answers(
    gateway: Gateway, target: Target, model: str
) -> None:
    chance = random.Random(fuzz.SEED + 4)

    def make() -> bytes:
        asked = {
            "model": model,
            "messages": [{"role": "user", "content": "x" * chance.choice((1, 30_000))}],
            "stream": chance.choice((True, False)),
        }
        body = json.dumps(asked).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {OPENAI}\r\nConnection: close\r\n"
        more = f"Authorization: Bearer {ALICE}\r\nContent-Length: {len(body)}\r\n\r\n"
        return (head + more).encode() + body

    seen = await campaign(lambda: asyncio.open_connection("127.0.0.1", gateway.port), make)

    # Its own 500 is a replica's word, and passed on.
    seen.wrong = [each for each in seen.wrong if b"-> HTTP/1.1 500 x\r\n" not in each]
    assert {200, 502} <= set(seen.statuses)
    await unhurt(gateway, target, seen, least=100)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 401 x\r\n\r\n", [200, 401]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", [200]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\no", [200]),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n", [100, 204]),
    ],
)
async def test_reads_answers(text: bytes, found: list[int]) -> None:
    assert list(statuses_of(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        b"hello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokx0\r\n\r\n",
    ],
)
async def test_sees_what_is_no_answer(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no answer|chunk"):
        list(statuses_of(text))
