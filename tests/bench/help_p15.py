"""P15: how long `dstack --help` takes, against a Python that does nothing.

    python -m tests.bench.help_p15 [--rounds 15]

Both are started anew each time, in turn, so that a neighbour on the machine disturbs them alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

MOST_SECONDS = 0.2
DSTACK = [str(Path(sys.executable).with_name("dstack")), "--help"]
NOTHING = [sys.executable, "-c", "pass"]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    timed(DSTACK)  # the first one reads from the disk
    times = [(timed(NOTHING), timed(DSTACK)) for _ in range(rounds)]
    nothing, helping = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"P15  dstack --help                {helping:6.3f} s    (at most {MOST_SECONDS:g})")
    print(f"P15  python -c pass               {nothing:6.3f} s    ratio {helping / nothing:.1f}")


def timed(argv: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, timeout=60)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
