"""P14: memory of the idle server and how long its starts take.

    python -m tests.bench.start_p14 [--rounds 5]

Memory is PSS (each shared page counted once, divided among those who share it) of every process
below the supervisor, after it has been idle for a while. A start is measured from the command to
the printed block, when dashboard and gateway answer. The reference is Django's `check` alone: one
process that does nothing but load the code.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack

MOST_MB, MOST_SECONDS = 600, 6.0
SETTLE_SECONDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="dstack-p14-") as name:
        first, stack = first_start(Path(name) / "a home")
        time.sleep(SETTLE_SECONDS)
        megabytes = pss_megabytes(stack)
        stack.stop()
        again = [timed_start(stack) for _ in range(rounds)]
        load = statistics.median(timed_load(stack) for _ in range(rounds))
    second = statistics.median(again)
    print(f"P14  idle, PSS of all processes   {megabytes:6.0f} MB   (at most {MOST_MB})")
    print(f"P14  first start to serving       {first:6.2f} s")
    print(f"P14  second start to serving      {second:6.2f} s    (at most {MOST_SECONDS:g})")
    print(f"P14  loading the code once        {load:6.2f} s    ratio {second / load:.2f}")


def first_start(folder: Path) -> tuple[float, Stack]:
    began = time.monotonic()
    stack = stacks.new(folder)
    return time.monotonic() - began, stack


def timed_start(stack: Stack) -> float:
    began = time.monotonic()
    stack.start()
    took = time.monotonic() - began
    stack.stop()
    return took


def timed_load(stack: Stack) -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=stacks.ROOT,
        env=stack.environ(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return time.monotonic() - began


def pss_megabytes(stack: Stack) -> float:
    assert stack.process is not None
    return sum(pss_of(pid) for pid in family(stack.process.pid)) / 1024


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


def pss_of(pid: int) -> int:
    """The proportional set size in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
