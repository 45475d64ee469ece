"""P3: chats with a model of format tgi, not streamed, short template, through the whole gateway.

    python -m tests.bench.tgi_p3 [--rounds 5] [--seconds 3] [--without-litellm]

HAProxy, the sidecar and its two rendering processes share one core; wrk and the server that speaks
TGI (a HAProxy that always gives the same answer) have the other one. Prints a row of a table, with
the processor time of each part for a request. LiteLLM's proxy is asked the same in between, over a
server that speaks OpenAI's protocol already: it is spared the translation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from pathlib import Path

import psutil

from gateway.schema import Model
from tests.bench import gateway_stage as stage
from tests.bench import openai_p2, wrk
from tests.fakes.control_plane_gateway import service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, Gateway

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MODEL = Model(name="m", format="tgi", chat_template=TEMPLATE, eos_token="<|im_end|>")
ASKED = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "max_tokens": 16,
}
DETAILS = {
    "finish_reason": "eos_token",
    "generated_tokens": 8,
    "seed": None,
    "prefill": [],
    "tokens": [
        {"id": num, "text": " word", "logprob": -0.25, "special": False} for num in range(8)
    ],
}
ANSWER = {"generated_text": "The capital of France is Paris.", "details": DETAILS}
SCRIPT = """\
wrk.method = "POST"
wrk.headers["Host"] = "gateway.localhost"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
"""
PARTS = ("haproxy", "sidecar", "templates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--without-litellm", action="store_true")
    options = parser.parse_args()
    wrk.need()
    with tempfile.TemporaryDirectory(prefix="tgi-p3-") as folder:
        asyncio.run(measure(Path(folder), options))


async def measure(folder: Path, options: argparse.Namespace) -> None:
    upstream, chats = free_port(), free_port()
    config = stage.UPSTREAM.format(port=upstream, body=json.dumps(ANSWER))
    chats_config = stage.UPSTREAM.format(port=chats, body=json.dumps(openai_p2.ANSWER))
    script, peer_script = folder / "chat.lua", folder / "peer.lua"
    script.write_text(SCRIPT.format(token=ALICE, body=json.dumps(ASKED)))
    peer_asked = {**ASKED, "model": openai_p2.NAME}
    peer_script.write_text(SCRIPT.format(token=ALICE, body=json.dumps(peer_asked)))
    endpoint = service("chat", f"127.0.0.1:{upstream}", model=MODEL)
    with (
        stage.haproxy(folder, "upstream", config, stage.LOAD_CORE),
        stage.haproxy(folder, "chats", chats_config, stage.LOAD_CORE),
        openai_p2.litellm(folder, chats, is_wanted=not options.without_litellm) as peer,
    ):
        async with stage.gateway(
            folder / "gateway", endpoints=[endpoint], keys=stage.full_keys(1000), slots=100
        ) as gateway:
            parts = await processes(gateway)
            for connections in (16, 1):
                found, peers = [], []
                for _ in range(options.rounds + 1):
                    found.append(
                        await one_round(gateway, script, parts, connections, options.seconds)
                    )
                    if peer:
                        peers.append(
                            await ask_peer(peer, peer_script, connections, options.seconds)
                        )
                # The first round only warms up.
                show(connections, found[1:], peers[1:])


async def processes(gateway: Gateway) -> dict[str, list[int]]:
    """The pids of each part, all on the measured core."""
    haproxy = gateway.haproxy()
    if haproxy is None or gateway.sidecar is None:
        raise RuntimeError("the gateway ended")
    sidecar = psutil.Process(gateway.sidecar.pid)
    templates = [p.pid for p in sidecar.children() if "gateway.tgi.child" in p.cmdline()]
    parts = {"haproxy": [haproxy.pid], "sidecar": [sidecar.pid], "templates": templates}
    for pids in parts.values():
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {stage.MEASURED_CORE})
    return parts


async def one_round(
    gateway: Gateway, script: Path, parts: dict[str, list[int]], connections: int, seconds: int
) -> dict[str, float]:
    before = {name: sum(map(stage.cpu_us, pids)) for name, pids in parts.items()}
    report = await wrk.load(
        url=f"{gateway.url}/v1/chat/completions",
        core=stage.LOAD_CORE,
        connections=connections,
        seconds=seconds,
        more=wrk.script(script),
    )
    return {
        "per_second": report.per_second,
        "p50_ms": report.p50_ms,
        "p99_ms": report.p99_ms,
        **{
            name: (sum(map(stage.cpu_us, pids)) - before[name]) / report.requests
            for name, pids in parts.items()
        },
    }


async def ask_peer(
    peer: tuple[int, int], script: Path, connections: int, seconds: int
) -> stage.Figures:
    port, pid = peer
    asked = stage.Asked("chat", connections=connections, path=openai_p2.PATH, script=script)
    return await stage.load(asked, port=port, pid=pid, seconds=seconds)


def show(connections: int, rounds: list[dict[str, float]], peers: list[stage.Figures]) -> None:
    each = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    print(f"\n{connections} connections, medians of {len(rounds)} rounds\n")
    print("| requests/s | p50 ms | p99 ms | HAProxy CPU µs | sidecar CPU µs | templates CPU µs |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {each['per_second']:,.0f} | {each['p50_ms']:.2f} | {each['p99_ms']:.2f} "
        + "".join(f"| {each[name]:.0f} " for name in PARTS)
        + "|"
    )
    if peers:
        peer = stage.medians(peers).per_second
        print(f"\nLiteLLM's proxy {peer:,.0f} requests/s: {each['per_second'] / peer:.1f} times")


if __name__ == "__main__":
    main()
