"""One fault at a time, while a service of three replicas is under load."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis

from dstack_web.embedded.attach import attach
from tests import programs
from tests.e2e import stack as stacks
from tests.e2e.chaos.conftest import come_to_rest
from tests.e2e.load import Load
from tests.e2e.services import haproxy, publish, publish_and_stop, replica_pids
from tests.e2e.stack import Stack, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

# Longer than the lease of a claimed row (30 s, apps/core/sweep.py).
PAUSE_SECONDS = 33.0
CUT_SECONDS = 12.0
# Three looks at a stopped process, 3 s apart, and its end; more for one that is only silent.
HANG_SECONDS, SILENT_SECONDS = 25.0, 60.0
READY_SECONDS = 30.0
HAPROXY_SECONDS = 8.0
# Three commands, each of which starts Python.
LONGEST_SECONDS = 20.0


def valkey(stack: Stack) -> redis.Redis:
    environ = {"DSTACK_HOME": str(stack.home)}
    attach(environ)
    return redis.Redis.from_url(environ["REDIS_URL"].replace("redis+socket://", "unix://"))


def test_valkey_loses_everything_in_the_middle_of_a_deployment(stack: Stack, load: Load) -> None:
    client = valkey(stack)
    client.flushall()
    publish(stack, "flushed")
    client.flushall()
    stack.dstack("scale", "flushed", "2")
    client.flushall()
    stack.dstack("stop", "flushed", "-y")

    come_to_rest(stack)
    assert not load.failed


def test_valkey_hangs(stack: Stack, load: Load) -> None:
    """It takes connections, and answers nothing, until it is started anew."""
    pid = stack.children()["valkey"]
    os.kill(pid, signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        stack.dstack("scale", "who", "4")
        stack.dstack("scale", "who", "3")
        stack.api("GET", "/projects/main/runs/who")
        took = time.monotonic() - started_at
        eventually(lambda: stack.children().get("valkey", pid) != pid, seconds=HANG_SECONDS)
    finally:
        go_on(pid)
    publish_and_stop(stack, "after-the-hang")

    come_to_rest(stack)
    assert took < LONGEST_SECONDS
    assert not load.failed


def test_all_but_haproxy_and_replicas_hang(stack: Stack, load: Load) -> None:
    """Connections stay open, and nobody answers on them."""
    stopped = [supervisor(stack), *(psutil.Process(pid) for pid in stack.children().values())]
    for part in ("postgres", "web"):
        stopped += psutil.Process(stack.children()[part]).children(recursive=True)
    for process in stopped:
        process.suspend()
    try:
        time.sleep(CUT_SECONDS)
    finally:
        for process in reversed(stopped):
            process.resume()
    publish_and_stop(stack, "after-the-long-hang")

    come_to_rest(stack)
    assert not load.failed
    assert {process.pid for process in stopped[1:]} >= set(stack.children().values())


@pytest.mark.parametrize(
    "part",
    ["postgres", "valkey", "web", "worker-control", "worker-outside", "beat", "gateway", "agent"],
)
def test_one_that_hangs_is_started_anew(stack: Stack, load: Load, part: str) -> None:
    replicas, pid = sorted(replica_pids(stack)), stack.children()[part]
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: stack.children().get(part, pid) != pid, seconds=HANG_SECONDS)
        eventually(lambda: stacks.answers(f"{stack.url}/readyz"), seconds=READY_SECONDS)
    finally:
        go_on(pid)

    come_to_rest(stack)
    assert not load.failed
    assert sorted(replica_pids(stack)) == replicas


def test_haproxy_hangs(stack: Stack, load: Load) -> None:
    """What it had in hand is lost, and all that comes is served again within seconds."""
    replicas, pid = sorted(replica_pids(stack)), haproxy(stack)
    os.kill(pid, signal.SIGSTOP)
    at = time.monotonic()
    try:
        eventually(lambda: load.good_since(at + 1) > 20, seconds=HAPROXY_SECONDS)
    finally:
        go_on(pid)

    come_to_rest(stack)
    assert not [answer for answer in load.failed if answer.at > at + HAPROXY_SECONDS]
    assert sorted(replica_pids(stack)) == replicas


def test_a_child_of_web_hangs(stack: Stack, load: Load) -> None:
    """No signal has stopped the process that is watched, yet nobody answers."""
    web = stack.children()["web"]
    workers = psutil.Process(web).children()
    for process in workers:
        process.suspend()
    eventually(lambda: stack.children().get("web", web) != web, seconds=SILENT_SECONDS)

    come_to_rest(stack)
    assert not load.failed
    assert not any(process.is_running() for process in workers)


def supervisor(stack: Stack) -> psutil.Process:
    """Whoever would take a child that is stopped for one that hangs."""
    assert stack.process is not None
    return psutil.Process(stack.process.pid)


def go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("worker", ["worker-control", "worker-outside"])
def test_a_worker_sleeps_past_its_lease(stack: Stack, load: Load, worker: str) -> None:
    """It wakes up with rows in its hands that others have taken on meanwhile."""
    asleep = [supervisor(stack), psutil.Process(stack.children()[worker])]
    stack.dstack("scale", "who", "2")
    for process in asleep:
        process.suspend()
    try:
        time.sleep(PAUSE_SECONDS)
    finally:
        for process in reversed(asleep):
            process.resume()
    publish_and_stop(stack, f"after-{worker}")
    stack.dstack("scale", "who", "3")

    come_to_rest(stack)
    assert not load.failed


def test_replicas_are_killed_under_load(stack: Stack, load: Load) -> None:
    at = time.monotonic()
    for pid in replica_pids(stack)[:2]:
        os.kill(pid, signal.SIGKILL)

    come_to_rest(stack)
    # What a dying replica had in hand is lost, were it a POST; all others are sent elsewhere.
    assert len(load.failed) <= 8
    assert not [answer for answer in load.failed if answer.at > at + 5]


def test_all_replicas_are_killed_at_once(stack: Stack, load: Load) -> None:
    """Requests wait for the replicas that follow."""
    at = time.monotonic()
    for pid in replica_pids(stack):
        os.kill(pid, signal.SIGKILL)

    come_to_rest(stack)
    eventually(lambda: load.good_since(time.monotonic() - 1) > 20)
    assert not [answer for answer in load.failed if answer.at > at + 2]


def test_the_control_plane_cannot_be_reached(stack: Stack, load: Load) -> None:
    """Agent, gateway and web run on, and none hears of the others."""
    with cut(stack.port):
        time.sleep(CUT_SECONDS)
    publish_and_stop(stack, "after-the-cut")

    come_to_rest(stack)
    assert not load.failed


@contextmanager
def cut(port: int) -> Iterator[None]:
    """Nothing that is sent to the port on this machine arrives."""
    iptables = programs.require_program("iptables", package="iptables")
    if os.geteuid() != 0:
        pytest.skip("only root can cut a connection")
    rules = [["OUTPUT", "-o", "lo", "-p", "tcp", way, str(port), "-j", "DROP"] for way in WAYS]
    try:
        for rule in rules:
            subprocess.run([iptables, "-w", "-I", *rule], check=True)
        yield
    finally:
        for rule in rules:
            subprocess.run([iptables, "-w", "-D", *rule], check=False)


WAYS = ("--dport", "--sport")


def test_the_disk_of_the_logs_is_full(stack: Stack, load: Load) -> None:
    """Every log of the server lies on a disk without a free byte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    logs = stack.home / "server" / "logs"
    assert stack.stop() == 0
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(logs)], check=True)
    try:
        stack.start()
        fill(logs / "ballast")
        os.kill(stack.children()["worker-control"], signal.SIGKILL)
        publish_and_stop(stack, "on-a-full-disk")
        come_to_rest(stack)
    finally:
        stack.stop()
        subprocess.run(["umount", "-l", str(logs)], check=True)
    stack.start()
    come_to_rest(stack)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return
