"""P14: from a fresh clone to a server that answers, with one `make run`.

    python -m tests.bench.clone_p14

Measured once: it installs everything into the clone, from the registries that pip and npm are set
to. The reference is the next `make run` there, which only starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.free_ports import free_port

MOST_SECONDS = 120.0
GIVE_UP_SECONDS = 900.0
OURS = ("VIRTUAL_ENV", "PYTHONPATH")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="dstack-p14-") as name:
        clone = Path(name) / "clone"
        began = time.monotonic()
        clone_into(clone)
        stack = Stack(Path(name) / "home", free_port(), free_port())
        fresh = time.monotonic() - began + timed_make(clone, stack)
        again = timed_make(clone, stack)
    print(f"P14  clone to serving             {fresh:6.1f} s    (at most {MOST_SECONDS:g})")
    print(f"P14  the next make run            {again:6.1f} s    ratio {fresh / again:.1f}")


def clone_into(folder: Path) -> None:
    words = ["git", "clone", "--quiet", "--no-local", str(stacks.ROOT), str(folder)]
    subprocess.run(words, check=True, timeout=GIVE_UP_SECONDS)


def timed_make(clone: Path, stack: Stack) -> float:
    """Return the seconds until everything answers; then it is stopped."""
    log = clone.parent / "make.log"
    began = time.monotonic()
    with log.open("w") as out:
        make = subprocess.Popen(
            ["make", "run"], cwd=clone, env=environ(stack), stdout=out, stderr=out
        )
    try:
        # The last line of the printed block.
        while "OpenAI API" not in log.read_text():
            if make.poll() is not None or time.monotonic() - began > GIVE_UP_SECONDS:
                sys.exit(log.read_text())
            time.sleep(0.05)
        return time.monotonic() - began
    finally:
        make.terminate()
        make.wait()


def environ(stack: Stack) -> dict[str, str]:
    """A person's environment: it knows the registries, and not the tests' own Python."""
    ours = str(Path(sys.executable).parent)
    search = [part for part in os.environ["PATH"].split(os.pathsep) if part != ours]
    kept = {key: value for key, value in os.environ.items() if key not in OURS}
    return {**kept, **stack.environ(), "PATH": os.pathsep.join(search)}


if __name__ == "__main__":
    main()
