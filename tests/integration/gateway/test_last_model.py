"""The model that stands at the end of a long body, as HAProxy's program reads it."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from gateway.haproxy import config
from tests.free_ports import free_port
from tests.integration.gateway.harness import haproxy_program

CONFIG = """\
global
  lua-load-per-thread models.lua
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend models
  bind 127.0.0.1:{port}
  http-request wait-for-body time 5s
  http-request return status 200 content-type text/plain lf-string "%[lua.last_model]"
"""
LONG = "What is recursion? " * 200

Read = Callable[[bytes], str]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    home, port = tmp_path_factory.mktemp("models"), free_port()
    (home / "models.lua").write_text(config.LUA["models.lua"])
    (home / "haproxy.cfg").write_text(CONFIG.format(port=port))
    child = subprocess.Popen([haproxy_program(), "-f", "haproxy.cfg", "-db"], cwd=home)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait(client)
            yield lambda body: client.post("/", content=body).text
    finally:
        child.kill()
        child.wait()


def wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.post("/", content=b"{}")
        except httpx.TransportError:
            assert time.monotonic() < deadline, "HAProxy did not start"
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize(
    ("end", "model"),
    [
        ('"model":"m"}', "m"),
        ('\n  "model" : "m"\n}\n', "m"),
        ('"model":"meta/Llama 3 é"}', "meta/Llama 3 é"),
        ('"model":""}', ""),
        ('"model":"m","stream":true,"temperature":0.7,"user":"a}b{"}', "m"),
        ('"model":"m","stream_options":{"include_usage":true},"stop":["]","}"]}', "m"),
        ('"model":"m","tools":[{"function":{"parameters":{"type":"object"}}}]}', "m"),
        # Of other objects, or only looks like one: left to whoever reads all.
        ('"x":{"model":"m"}}', ""),
        ('"x":[{"model":"m"}]}', ""),
        ('"model":"m","x":{"model":"n"}}', ""),
        ('"x":{"a":{},"model":"m"}}', ""),
        ('"x":"model"}', ""),
        ('"x":["model"]}', ""),
        ('"x":"\\"model\\":\\"m\\"}"}', ""),
        ('"x":", \\"model\\":\\"m"}', ""),
        ('"x\\"model":"m"}', ""),
        ('"model":"m","x":"a\\"b"}', ""),
        ('"model":"a\\/b"}', ""),
        ('"model":7}', ""),
        ('"model":null}', ""),
        ('"model":{"model":"m"}}', ""),
        ('"models":"m"}', ""),
        ('"Model":"m"}', ""),
        ('"model":"m"', ""),
        ('"model":"m"}}', ""),
        ('"model":"m"}]', ""),
        ('"model":"m"} x', ""),
        ('"model"}', ""),
        ('"model":}', ""),
        ("}", ""),
    ],
)
def test_believes_only_an_end_that_proves_it(read: Read, end: str, model: str) -> None:
    body = f'{{"messages":[{{"role":"user","content":"{LONG}"}}],{end}'

    assert read(body.encode()) == model


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'"model"', b'"model":"m"}', b"\0\xff", b'{"model":"m"}']
)
def test_takes_whatever_comes(read: Read, body: bytes) -> None:
    assert read(body) == ("m" if body.startswith(b"{") and len(body) > 2 else "")


def test_reads_no_end_of_a_body_that_is_not_whole(read: Read) -> None:
    """What HAProxy's buffer holds of it may end like an object of its own."""
    piece = b'{"model":"m"},' + b" " * 50

    for length in range(15_000, 17_000, 64):
        assert read(b'{"x":[' + piece * (length // 64) + b"1]}" + b" " * 5_000) == ""


def test_agrees_with_a_json_parser(read: Read) -> None:
    chance = random.Random(7)
    found = 0
    for _ in range(400):
        named = {"model": chance.choice(["m", "n"])} if chance.random() < 0.7 else {}
        body = {"messages": LONG, **made(chance), **named, **made(chance)}
        said = read(json.dumps(body, indent=chance.choice([None, 1])).encode())
        assert said in ("", body.get("model"))
        found += said != ""

    assert found > 40


def made(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """Return an object in which `model` may stand anywhere."""
    names = ["model", "a", 'b"', "model:", '"model":', "c\\"]
    return {chance.choice(names): value(chance, depth) for _ in range(chance.randrange(4))}


def value(chance: random.Random, depth: int) -> object:
    texts = ["m", "n", 'x","model":"y', "}", "{", "]", "\\", '\\"', "model", ",", ": "]
    simple = [chance.choice(texts), chance.choice(texts), 7, True, None]
    if depth < 3:
        simple += [made(chance, depth + 1), [value(chance, depth + 1)] * chance.randrange(3)]
    return chance.choice(simple)
