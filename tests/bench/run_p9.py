"""P9: `dstack run` to the first answer of 200 through the gateway, against starting it by hand.

    python -m tests.bench.run_p9 [--rounds 7]

The clock starts with the command and stops with the first 200 to a caller who asks every 10 ms. By
hand means: the same program, in its folder, asked directly. Both are done in turn.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.free_ports import free_port

MOST_SECONDS = 2.0
ASK_SECONDS = 0.01
GIVE_UP_SECONDS = 60.0
WHO = stacks.ROOT / "tests" / "e2e" / "who"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="dstack-p9-") as name:
        stack = stacks.new(Path(name))
        try:
            by_dstack(stack, "warm-up")
            times = [(by_hand(), by_dstack(stack, f"round-{n}")) for n in range(rounds)]
        finally:
            stack.stop()
    hand, run = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"P9   dstack run to first 200      {run:6.2f} s    (at most {MOST_SECONDS:g} s more)")
    print(f"P9   started by hand              {hand:6.2f} s    {run - hand:+.2f} s")


def by_hand() -> float:
    port = free_port()
    environ = {"PORT": str(port), "DSTACK_REPLICA_NUM": "0", "DSTACK_RUN_NAME": "by-hand"}
    began = time.monotonic()
    with running(["python3", "who.py"], {"PATH": os.defpath, **environ}):
        return first_answer(port, {}) - began


def by_dstack(stack: Stack, name: str) -> float:
    words = ["run", ".", "-f", "serve.dstack.yml", "-n", name, "-y", "-d"]
    headers = {"Host": f"{name}.localhost", **stack.bearer()}
    began = time.monotonic()
    with running([*stack.command, *words], stack.environ()) as command:
        took = first_answer(stack.gateway_port, headers) - began
        command.wait(GIVE_UP_SECONDS)
    stack.dstack("stop", name, "-y")
    return took


@contextmanager
def running(argv: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    command = subprocess.Popen(argv, env=environ, cwd=WHO, stdout=quiet, stderr=quiet)
    try:
        yield command
    finally:
        command.kill()
        command.wait()


def first_answer(port: int, headers: dict[str, str]) -> float:
    """Return when the first 200 came (monotonic). Raise TimeoutError."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        if answer(port, headers) == 200:
            return time.monotonic()
        time.sleep(ASK_SECONDS)
    raise TimeoutError(f"no answer of 200 within {GIVE_UP_SECONDS:g} s")


def answer(port: int, headers: dict[str, str]) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers=headers)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    main()
