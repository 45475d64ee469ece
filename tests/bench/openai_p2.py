"""P2: a chat routed by its body's model, against plain HAProxy, direct, and LiteLLM's proxy.

    python -m tests.bench.openai_p2 [--rounds 5] [--seconds 3] [--without-litellm]

The same POST to all; one core for what is measured, one for wrk and the upstream, rounds
interleaved. A short chat first, then chats of 4 and 12 kB, as a long talk makes them, whose
`messages` come before the model. The gateway has 5,000 services, 1,000 models and 20,000 keys, and
counts and logs as it always does. LiteLLM gets the short chat only; it is installed into an
environment of its own, outside the checkout.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from gateway.schema import Endpoint, Model
from tests.bench import gateway_stage as stage
from tests.bench import wrk
from tests.bench.gateway_stage import Asked
from tests.e2e.model.tools import cache_folder
from tests.fakes.control_plane_gateway import service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE

LITELLM = "litellm[proxy]==1.106.2"
INSTALL_SECONDS, START_SECONDS = 400, 90
SERVICES, MODELS, KEYS = 3_980, 1_000, 20_000
PATH = "/v1/chat/completions"
NAME = "meta-llama/Llama-3.1-8B-Instruct"
SHORT, CONNECTIONS = "short chat", (16, 1)
QUESTION = "What is recursion? "
# Its answers may take a second and more each.
LITELLM_SECONDS, LITELLM_ROUNDS = 10, 3
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": NAME,
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is."}}
    ],
    "usage": {"prompt_tokens": 30, "completion_tokens": 3, "total_tokens": 33},
}
SCRIPT = """\
wrk.method = "POST"
wrk.headers["Host"] = "gateway.localhost"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--without-litellm", action="store_true")
    options = parser.parse_args()
    wrk.need()
    with tempfile.TemporaryDirectory(prefix="openai-p2-") as folder:
        asyncio.run(measure(Path(folder), options))


async def measure(folder: Path, options: argparse.Namespace) -> None:
    upstream, plain = free_port(), free_port()
    config = stage.UPSTREAM.format(port=upstream, body=json.dumps(ANSWER))
    plain_config = stage.PLAIN.format(port=plain, upstream=upstream)
    with (
        stage.haproxy(folder, "upstream", config, stage.LOAD_CORE) as upstream_pid,
        stage.haproxy(folder, "plain", plain_config, stage.MEASURED_CORE) as plain_pid,
        litellm(folder, upstream, is_wanted=not options.without_litellm) as peer,
    ):
        async with stage.gateway(
            folder / "gateway", endpoints=endpoints(upstream), keys=stage.full_keys(KEYS)
        ) as gateway:
            process = gateway.haproxy()
            if process is None:
                raise RuntimeError("the gateway ended")
            servers = {
                "direct": (upstream, upstream_pid),
                "plain HAProxy": (plain, plain_pid),
                "gateway": (gateway.port, process.pid),
            }
            for asked in chats(folder):
                found = await stage.compare(
                    servers, asked, rounds=options.rounds, seconds=options.seconds
                )
                if peer and asked.title == SHORT:
                    found.update(await ask_peer(peer, asked))
                stage.show(asked, options.rounds, found)


async def ask_peer(peer: tuple[int, int], asked: Asked) -> dict[str, stage.Figures]:
    """Return LiteLLM's figures by its name; none where it did not answer in time."""
    port, pid = peer
    try:
        rounds = [
            await stage.load(asked, port=port, pid=pid, seconds=LITELLM_SECONDS)
            for _ in range(1 + LITELLM_ROUNDS)
        ]
    except wrk.NoAnswer:
        print(f"LiteLLM's proxy gave no answer in {LITELLM_SECONDS} s")
        return {}
    # The first round only warms up.
    return {"LiteLLM": stage.medians(rounds[1:])}


def chats(folder: Path) -> list[Asked]:
    """Return what is asked, in this order."""
    short = [{"role": "user", "content": QUESTION * 8}]
    script = chat_script(folder / "short.lua", {"model": NAME, "messages": short})
    found = [Asked(SHORT, connections=number, path=PATH, script=script) for number in CONNECTIONS]
    for size in (4_000, 12_000):
        turns = [{"role": "user", "content": QUESTION * 25}] * (size // (25 * len(QUESTION)))
        script = chat_script(folder / f"{size}.lua", {"messages": turns, "model": NAME})
        title = f"chat of {size // 1000} kB, messages first"
        found.append(Asked(title, path=PATH, script=script))
    return found


def chat_script(file: Path, body: object) -> Path:
    file.write_text(SCRIPT.format(token=ALICE, body=json.dumps(body)))
    return file


def endpoints(upstream: int) -> list[Endpoint]:
    others = [service(f"model{n}", model=Model(name=f"other/{n}")) for n in range(MODELS)]
    asked = service("chat", f"127.0.0.1:{upstream}", model=Model(name=NAME))
    return [*(service(f"other{n}") for n in range(SERVICES)), *others, asked]


@contextlib.contextmanager
def litellm(folder: Path, upstream: int, *, is_wanted: bool) -> Iterator[tuple[int, int] | None]:
    """LiteLLM's proxy with one worker on the measured core; None where it cannot be had."""
    program = installed() if is_wanted else None
    if program is None:
        yield None
        return
    port, config = free_port(), folder / "litellm.yaml"
    params = {
        "model": f"openai/{NAME}",
        "api_base": f"http://127.0.0.1:{upstream}/v1",
        "api_key": "none",
    }
    # JSON is YAML; without a master key it asks for no database.
    config.write_text(json.dumps({"model_list": [{"model_name": NAME, "litellm_params": params}]}))
    child = subprocess.Popen(
        [
            *(str(program), "--config", str(config), "--host", "127.0.0.1"),
            *("--port", str(port), "--num_workers", "1", "--telemetry", "False"),
        ],
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            # It then checks no token, which is to its advantage.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {stage.MEASURED_CORE}),
    )
    try:
        wait_ready(port, child)
        yield port, child.pid
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def installed() -> Path | None:
    folder = cache_folder() / "litellm"
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "bin" / "python")
    made = [
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", python, LITELLM],
    ]
    for argv in made:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            print(f"without LiteLLM, which cannot be installed: {done.stderr.strip()[-300:]}")
            return None
    return folder / "bin" / "litellm"


def wait_ready(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health/liveliness", timeout=2).is_success:
                return
        time.sleep(0.2)
    raise RuntimeError("LiteLLM did not start")


if __name__ == "__main__":
    main()
