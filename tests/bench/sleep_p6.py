"""P6: a sleeping service: its first answer, and 500 requests at once, against its start by hand.

    python -m tests.bench.sleep_p6 [--rounds 7]

Asleep means `replicas: 0..1` with no replica. The clock starts when the request is sent and stops
with the answer's first byte. By hand means: the same program, in its folder, asked directly every
10 ms. Both are done in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.bench import run_p9
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack, eventually

MOST_SECONDS = 0.5
AT_ONCE = 500
HELD_SECONDS = 60.0
SPEC = """\
type: service
name: sleeper
commands: [python3 who.py]
port: 8000
replicas: 0..1
scaling: {metric: rps, target: 1000, scale_to_zero_delay: 1s}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="dstack-p6-") as name:
        stack = stacks.new(Path(name))
        try:
            deploy(stack, Path(name) / "folder")
            one_by_one(stack, rounds)
            at_once(stack)
        finally:
            stack.stop()


def deploy(stack: Stack, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "who.py").write_text((run_p9.WHO / "who.py").read_text())
    (folder / "serve.dstack.yml").write_text(SPEC)
    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder)


def one_by_one(stack: Stack, rounds: int) -> None:
    times = [(run_p9.by_hand(), asyncio.run(woken(stack, 1))[0]) for _ in range(rounds)]
    hand, first = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"P6   asleep to the first byte     {first:6.2f} s    (at most {MOST_SECONDS:g} s more)")
    print(f"P6   started by hand              {hand:6.2f} s    {first - hand:+.2f} s")


def at_once(stack: Stack) -> None:
    slowest, statuses = asyncio.run(woken(stack, AT_ONCE))
    said = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    print(f"P6   {AT_ONCE} at once while asleep    {slowest:6.2f} s    {said}")


async def woken(stack: Stack, count: int) -> tuple[float, Counter[int]]:
    """Send `count` requests at once to the sleeping service.

    Return the seconds until the last of them had its first byte, and the statuses.
    """
    eventually(lambda: asleep(stack), seconds=60, every=0.2)
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(timeout=HELD_SECONDS, limits=limits) as client:
        began = time.monotonic()
        answers = await asyncio.gather(*(ask(stack, client) for _ in range(count)))
    return max(at for at, _ in answers) - began, Counter(status for _, status in answers)


def asleep(stack: Stack) -> bool:
    run = stack.api("GET", "/projects/main/runs/sleeper")
    return run["replicas_wanted"] == 0 and not any(
        replica["finished_at"] is None for replica in run["replicas"]
    )


async def ask(stack: Stack, client: httpx.AsyncClient) -> tuple[float, int]:
    headers = {"Host": "sleeper.localhost", **stack.bearer()}
    url = f"http://127.0.0.1:{stack.gateway_port}/"
    async with client.stream("GET", url, headers=headers) as answer:
        at = time.monotonic()
        await answer.aread()
    return at, answer.status_code


if __name__ == "__main__":
    main()
