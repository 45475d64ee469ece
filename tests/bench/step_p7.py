"""P7: a step of load from nothing to three times the target, up and down again.

    python -m tests.bench.step_p7 [--rounds 5]

Measured: from the first request of the step to the decision for another replica (which writes the
replica's row), once with one idle replica and once from none; and what failed until the service was
small again. The target is 5 requests per second, so the step is to 15.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench import run_p9
from tests.e2e import load as loads
from tests.e2e import stack as stacks
from tests.e2e.load import Load
from tests.e2e.stack import Stack, eventually

MOST_SECONDS = 2.0
TARGET = 5
# Long enough for the last replica that the load needs.
LOAD_SECONDS = 15.0
SPEC = """\
type: service
name: who
commands: [python3 who.py]
port: 8000
replicas: {least}..4
scaling: {{metric: rps, target: 5, window: 60s, scale_down_delay: 10s}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    loads.TIMEOUT_SECONDS = 60.0
    with tempfile.TemporaryDirectory(prefix="dstack-p7-") as name:
        stack = stacks.new(Path(name))
        try:
            for least in (1, 0):
                report(stack, Path(name) / "folder", least, rounds)
        finally:
            stack.stop()


def report(stack: Stack, folder: Path, least: int, rounds: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "who.py").write_text((run_p9.WHO / "who.py").read_text())
    (folder / "serve.dstack.yml").write_text(SPEC.format(least=least))
    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-y", "-d", cwd=folder)
    times, sent, failed = [], 0, 0
    for _ in range(rounds):
        eventually(lambda: is_small(stack, least), seconds=180, every=0.5)
        took, load = step(stack)
        times.append(took)
        eventually(lambda: is_small(stack, least), seconds=180, every=0.5)
        sent, failed = sent + len(load.answers), failed + len(load.failed)
    stack.dstack("stop", "who", "-y")
    line = f"P7   {least} -> 0 to {3 * TARGET} rps, next replica  "
    longest = f"longest {max(times):.2f} s, at most {MOST_SECONDS:g}"
    print(f"{line}{statistics.median(times):6.2f} s    ({longest})")
    print(f"P7   requests / failed            {sent:6} / {failed}")


def is_small(stack: Stack, least: int) -> bool:
    run = stack.api("GET", "/projects/main/runs/who")
    living = [one for one in run["replicas"] if one["finished_at"] is None]
    return bool(run["replicas_wanted"] == len(living) == least)


def step(stack: Stack) -> tuple[float, Load]:
    """Load the service for a while.

    Return the seconds from the first request to the decision for more, and the load.
    """
    began = time.time()
    headers = {"Host": "who.localhost", **stack.bearer()}
    url = f"http://127.0.0.1:{stack.gateway_port}/"
    with Load(url, headers, per_second=3 * TARGET) as load:
        first = eventually(lambda: first_up(stack, began), seconds=60, every=0.2)
        time.sleep(LOAD_SECONDS)
    return first - began, load


def first_up(stack: Stack, since: float) -> float | None:
    items: list[dict[str, Any]] = stack.api("GET", "/projects/main/runs/who/decisions")["items"]
    ups = [moment(one["at"]) for one in items if one["wanted"] > one["before"]]
    return min((at for at in ups if at >= since), default=None)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()
