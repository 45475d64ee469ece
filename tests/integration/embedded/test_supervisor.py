"""The supervisor with real processes: what dies comes back, what stops leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dstack_web import processes
from dstack_web.processes import ProcessId

HOST = Path(__file__).with_name("host.py")
SECONDS = 10
# Ignores TERM and has a child of its own.
STUBBORN = ["sh", "-c", "trap '' TERM; sleep 300 & while :; do sleep 1; done"]


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


class Host:
    """A running `host.py`: its home and its process."""

    def __init__(
        self,
        home: Path,
        if_dead: list[str] | None = None,
        watch: dict[str, float] | None = None,
        **children: list[str],
    ) -> None:
        self.home = home
        more = {"if_dead": if_dead, "watch": watch}
        table = [{"name": name, "argv": argv, **more} for name, argv in children.items()]
        self.process = subprocess.Popen(
            [sys.executable, str(HOST), str(home), json.dumps(table)],
            stdout=subprocess.PIPE,
            text=True,
            # The tests may run below nohup, which the supervisor would take as its own wish.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pid(self, name: str) -> ProcessId:
        content = json.loads((self.home / "server/run/children.json").read_text())
        return ProcessId(*content["children"][name])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def start_one(**more: Any) -> Host:
        host = Host(tmp_path / "a home", **more)
        hosts.append(host)
        assert host.says() == "ready"
        return host

    yield start_one
    for host in hosts:
        host.process.kill()
        host.process.wait()
        if host.process.stdout:
            host.process.stdout.close()


def test_starts_a_killed_child_again_and_says_so(start: Callable[..., Host]) -> None:
    host = start(one=["sleep", "300"])
    before = host.pid("one")

    os.kill(before.pid, signal.SIGKILL)

    assert host.says().startswith("one ended (SIGKILL); starting it again in 0.1 s")
    wait_for(lambda: host.pid("one") != before and host.pid("one").is_alive())


def test_waits_longer_each_time_a_child_ends_at_once(start: Callable[..., Host]) -> None:
    host = start(one=["false"])

    said = [host.says() for _ in range(3)]

    assert [line.split(" in ")[1].split(" s.")[0] for line in said] == ["0.1", "0.5", "1"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stops_everything_and_exits_with_zero(
    start: Callable[..., Host], how: signal.Signals
) -> None:
    host = start(one=["sleep", "300"], two=["sleep", "300"])
    children = [host.pid("one"), host.pid("two")]

    host.process.send_signal(how)

    assert host.process.wait(SECONDS) == 0
    assert not any(child.is_alive() for child in children)


def test_repeated_signals_change_nothing(start: Callable[..., Host]) -> None:
    host = start(one=STUBBORN)

    host.process.send_signal(signal.SIGTERM)
    assert host.says() == "stopping"
    host.process.send_signal(signal.SIGTERM)
    host.process.send_signal(signal.SIGINT)

    assert host.process.wait(SECONDS) == 0


def test_ends_a_child_that_ignores_the_signal_with_all_it_started(
    start: Callable[..., Host],
) -> None:
    host = start(one=STUBBORN)
    leader = host.pid("one")
    wait_for(lambda: len(processes.session_members(leader.pid)) >= 2)

    host.process.terminate()

    assert host.process.wait(SECONDS) == 0
    wait_for(lambda: processes.session_members(leader.pid) == [])


def test_has_the_last_work_of_a_dead_child_done_for_it(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    host = start(if_dead=["touch", str(tmp_path / "done")], one=["sleep", "300"])
    host.process.send_signal(signal.SIGSTOP)  # so that it sees both at once
    os.kill(host.pid("one").pid, signal.SIGKILL)

    host.process.terminate()
    host.process.send_signal(signal.SIGCONT)

    assert host.process.wait(SECONDS) == 0
    assert (tmp_path / "done").exists()


def test_leaves_the_last_work_to_a_child_that_lives(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    tidy = ["sh", "-c", "trap 'exit 0' TERM; echo > \"$0\"; while :; do sleep 0.05; done"]
    host = start(if_dead=["touch", str(tmp_path / "done")], one=[*tidy, str(tmp_path / "ready")])
    wait_for((tmp_path / "ready").exists)

    host.process.terminate()

    assert host.process.wait(SECONDS) == 0
    assert not (tmp_path / "done").exists()


def test_children_die_with_a_killed_supervisor(start: Callable[..., Host]) -> None:
    host = start(one=["sleep", "300"])
    child = host.pid("one")

    host.process.kill()

    wait_for(lambda: not child.is_alive())


def test_ends_what_a_killed_supervisor_left(start: Callable[..., Host]) -> None:
    killed = start(one=STUBBORN)
    left = killed.pid("one")
    wait_for(lambda: len(processes.session_members(left.pid)) >= 2)
    killed.process.kill()
    killed.process.wait()
    assert processes.session_members(left.pid) != []

    start(one=["sleep", "300"])

    wait_for(lambda: processes.session_members(left.pid) == [])


def test_refuses_a_second_copy_on_the_same_home(start: Callable[..., Host]) -> None:
    first = start(one=["sleep", "300"])

    second = subprocess.run(
        [sys.executable, str(HOST), str(first.home), "[]"], capture_output=True, text=True
    )

    assert second.returncode == 1
    assert f"already runs on {first.home} (process {first.process.pid})" in second.stderr
