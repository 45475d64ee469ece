"""A soak: everything at once for a long time; is memory flat, and did anything fail?

    python -m tests.bench.soak [--minutes 20]

A whole server with four services: pages, echoes, streams, chats in both formats, large bodies,
wrong tokens, callers that leave, a service that falls asleep and is woken, replicas that come and
go. Memory is PSS without files and shared memory (PostgreSQL's cache fills up to its size), sampled
every 10 s. Flat means: the median of the last fifth is at most 5 % or
5 MB above that of the second fifth (the first one is warming up).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.bench.start_p14 import family
from tests.e2e import services as tested
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack

SAMPLE_SECONDS = 10.0
MOST_SHARE, MOST_KB = 0.05, 5 * 1024
HEAD = "type: service\nname: {name}\ncommands: [python3 soak_app.py]\nport: 8000\n"
SPECS = {
    "pages": "replicas: 1..2\nscaling: {metric: rps, target: 100000}\n",
    "sleeper": "replicas: 0..1\nscaling: {metric: rps, target: 1000, scale_to_zero_delay: 3s}\n",
    "chats": "model: {name: soak-chat, format: openai}\n",
    "tgi": (
        "model:\n  name: soak-tgi\n  format: tgi\n  eos_token: </s>\n"
        "  chat_template: '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}'\n"
    ),
}
CHAT: Mapping[str, object] = {"model": "soak-chat", "messages": [{"role": "user", "content": "hi"}]}
LONG_CHAT = {"model": "soak-chat", "messages": [{"role": "user", "content": "x" * 1_000_000}]}
TGI_CHAT = {**CHAT, "model": "soak-tgi"}

Sender = Callable[[], Awaitable[int]]


@dataclass
class Soak:
    stack: Stack
    client: httpx.AsyncClient
    # "kind status" -> how often
    answers: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def run(self, seconds: float) -> None:
        """Send everything at its pace for `seconds`."""
        call, chat = self.call, self.chat
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for name, pace, expected, send in (
                    ("page", 25, 200, lambda: call("pages", "GET", "/")),
                    ("wrong token", 5, 401, lambda: call("pages", "GET", "/", token="dsk_u_no")),
                    ("echo", 2, 200, lambda: call("pages", "POST", "/echo", b"x" * 65536)),
                    ("events", 4, 200, lambda: call("pages", "GET", "/events")),
                    ("leaves", 1, 0, self.leave),
                    ("woken", 0.08, 200, lambda: call("sleeper", "GET", "/")),
                    ("chat", 5, 200, lambda: chat(CHAT)),
                    ("streamed chat", 2, 200, lambda: chat({**CHAT, "stream": True})),
                    ("long chat", 0.3, 200, lambda: chat(LONG_CHAT)),
                    ("tgi chat", 5, 200, lambda: chat(TGI_CHAT)),
                    ("unknown model", 1, 404, lambda: chat({**CHAT, "model": "no"})),
                ):
                    group.create_task(self.repeat(name, pace, expected, send))
                group.create_task(self.scale())
                group.create_task(self.sample())

    async def repeat(self, name: str, per_second: float, expected: int, send: Sender) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self.count(name, expected, send))
                await asyncio.sleep(1 / per_second)

    async def count(self, name: str, expected: int, send: Sender) -> None:
        try:
            status = await send()
        except httpx.HTTPError as error:
            self.failed[f"{name}: {error!r}"] += 1
            return
        self.answers[f"{name} {status}"] += 1
        if status != expected:
            self.failed[f"{name}: {status}"] += 1

    async def call(
        self, service: str, method: str, path: str, body: bytes = b"", token: str | None = None
    ) -> int:
        headers = {"Host": f"{service}.localhost", **self.bearer(token)}
        url = f"http://127.0.0.1:{self.stack.gateway_port}{path}"
        answer = await self.client.request(method, url, headers=headers, content=body)
        return answer.status_code

    async def chat(self, body: Mapping[str, object]) -> int:
        headers = {"Host": "gateway.localhost", **self.bearer(None)}
        url = f"http://127.0.0.1:{self.stack.gateway_port}/v1/chat/completions"
        return (await self.client.post(url, headers=headers, json=body)).status_code

    def bearer(self, token: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.stack.token}"}

    async def leave(self) -> int:
        """Goes away in the middle of a stream."""
        headers = {"Host": "pages.localhost", **self.bearer(None)}
        url = f"http://127.0.0.1:{self.stack.gateway_port}/events"
        async with self.client.stream("GET", url, headers=headers) as answer:
            async for _ in answer.aiter_raw():
                return 0
        return 0

    async def scale(self) -> None:
        while True:
            for count in (2, 1):
                words = ("scale", "pages", str(count))
                await asyncio.to_thread(self.stack.dstack, *words, code=None)
                await asyncio.sleep(20)

    async def sample(self) -> None:
        while True:
            for name, pid in {**self.stack.children(), "haproxy": haproxy(self.stack)}.items():
                with contextlib.suppress(OSError):
                    self.samples[name].append(sum(anonymous_of(each) for each in family(pid)))
            await asyncio.sleep(SAMPLE_SECONDS)

    def report(self) -> bool:
        """Print what was seen; False where something grew or failed."""
        flat = [self.is_flat(name) for name in sorted(self.samples)]
        print(", ".join(f"{count} x {name}" for name, count in sorted(self.answers.items())))
        for text, count in self.failed.most_common():
            print(f"failed: {count} x {text}")
        return all(flat) and not self.failed

    def is_flat(self, name: str) -> bool:
        samples = self.samples[name]
        fifth = max(len(samples) // 5, 1)
        begin = statistics.median(samples[fifth : 2 * fifth] or samples)
        end = statistics.median(samples[-fifth:])
        flat = end - begin <= max(begin * MOST_SHARE, MOST_KB)
        verdict = "flat" if flat else "GROWS"
        print(f"{name:12} {begin / 1024:7.1f} MB -> {end / 1024:7.1f} MB   {verdict}", flush=True)
        return flat


def anonymous_of(pid: int) -> int:
    """The proportional set size of what is no file and no shared memory, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def haproxy(stack: Stack) -> int:
    return tested.haproxy(stack)


def deploy(stack: Stack, folder: Path) -> None:
    shutil.copy(Path(__file__).with_name("soak_app.py"), folder)
    for name, more in SPECS.items():
        (folder / "serve.dstack.yml").write_text(HEAD.format(name=name) + more)
        stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder)


async def soak(stack: Stack, seconds: float) -> bool:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=20)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        running = Soak(stack, client)
        await running.run(seconds)
    return running.report()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="dstack-soak-") as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        stack = stacks.new(Path(name))
        try:
            deploy(stack, folder)
            time.sleep(5)
            good = asyncio.run(soak(stack, minutes * 60))
        finally:
            stack.stop()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
