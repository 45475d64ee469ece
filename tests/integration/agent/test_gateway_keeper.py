"""What keeps a gateway running on a machine: other versions take over, what ends starts anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.agent.gateways.install import Folder, make_current
from apps.agent.host import procs

ROOT = Path(__file__).resolve().parents[3]
# Stands for `python -m gateway`: notes who it is, and leaves a program of its own behind.
GATEWAY = """\
#!/bin/sh
setsid sleep 300 &
echo "$(basename "$(dirname "$(dirname "$(dirname "$0")")")") $$ $!" >>"{log}"
trap 'kill $!; exit 3' TERM
while :; do sleep 0.05 & wait $!; done
"""


class Kept:
    def __init__(self, root: Path) -> None:
        self.folder, self.log = Folder(root), root / "log"
        self.log.touch()

    def install(self, version: str) -> None:
        python = self.folder.version(version) / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(GATEWAY.format(log=self.log))
        python.chmod(0o755)
        make_current(self.folder, version)

    def start(self) -> None:
        argv = [sys.executable, "-m", "apps.agent", "gateway", str(self.folder.current)]
        self.keeper = subprocess.Popen(argv, cwd=ROOT)

    def seen(self) -> list[tuple[str, int, int]]:
        """Who was started: version, process, and what that left running."""
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [(version, int(pid), int(child)) for version, pid, child in rows]

    def await_starts(self, count: int) -> tuple[str, int, int]:
        until(lambda: len(self.seen()) >= count)
        return self.seen()[count - 1]


def until(check: Callable[[], object], *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def lives(pid: int) -> bool:
    start = procs.start_of(pid)
    return start is not None and procs.is_alive(pid, start)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    made.install("one")
    made.start()
    yield made
    made.keeper.kill()
    made.keeper.wait()
    for _, pid, child in made.seen():
        for each in (pid, child):
            if lives(each):
                os.kill(each, signal.SIGKILL)


def test_another_version_takes_over_and_what_the_old_one_ran_goes_on(kept: Kept) -> None:
    _, old, haproxy = kept.await_starts(1)
    kept.install("two")
    assert kept.folder.running == "two"

    kept.keeper.send_signal(signal.SIGHUP)
    version, new, _ = kept.await_starts(2)

    assert version == "two" and new != old
    assert not lives(old) and lives(haproxy) and lives(new)
    assert kept.keeper.poll() is None


def test_one_that_ends_is_started_again(kept: Kept) -> None:
    _, old, _ = kept.await_starts(1)

    os.kill(old, signal.SIGKILL)

    version, new, _ = kept.await_starts(2)
    assert version == "one" and new != old


def test_it_ends_with_its_gateway_and_that_ones_code(kept: Kept) -> None:
    _, pid, _ = kept.await_starts(1)
    until(lambda: lives(pid))

    kept.keeper.send_signal(signal.SIGTERM)

    assert kept.keeper.wait(timeout=30) == 3
    assert not lives(pid)


def test_one_that_cannot_be_started_is_tried_until_it_can(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    made.start()
    try:
        made.install("late")
        assert made.await_starts(1)[0] == "late"
    finally:
        made.keeper.terminate()
        made.keeper.wait(timeout=30)
        for _, _, child in made.seen():
            os.kill(child, signal.SIGKILL)
