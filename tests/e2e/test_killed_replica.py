"""One of several replicas dies at once under load: what was in flight on it may fail, no more."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import stack as stacks
from tests.e2e.load import Load
from tests.e2e.stack import Stack, eventually
from tests.e2e.traces import processes_of

FOLDER = Path(__file__).parent / "ledger"
REPLICAS = 3
PER_SECOND = 150
# HAProxy hears of closed connections at once; a busy machine may let it wait.
EJECTION_SECONDS = 1.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def ledger() -> Iterator[Path]:
    """A file into which every replica may write, whoever it runs as."""
    with tempfile.TemporaryDirectory(dir=stacks.SEEN_BY_REPLICAS) as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "ledger"
        file.touch()
        file.chmod(0o666)
        yield file


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = stacks.new(tmp_path)
    yield running
    if running.is_alive():
        running.stop()


def publish(stack: Stack, folder: Path, ledger: Path, *, replicas: int = REPLICAS) -> None:
    folder.mkdir()
    (folder / "ledger.py").write_bytes((FOLDER / "ledger.py").read_bytes())
    (folder / "serve.dstack.yml").write_text(
        f"type: service\ncommands: [python3 ledger.py]\nport: 8000\nreplicas: {replicas}\n"
        f"env: [LEDGER={ledger}]\n"
    )
    stack.dstack("run", ".", "-f", "serve.dstack.yml", "-n", "ledger", "-y", "-d", cwd=folder)
    eventually(lambda: len(running(stack)) == replicas, seconds=60, what="all replicas run")


def running(stack: Stack) -> dict[int, str]:
    """The replicas that serve: when each began, by number."""
    found = stack.api("GET", "/projects/main/runs/ledger")["replicas"]
    return {each["num"]: each["started_at"] for each in found if each["state"] == "running"}


def programs(stack: Stack) -> list[int]:
    lines = [line.split(" ", 1) for line in processes_of(stack.home)]
    return [int(pid) for pid, command in lines if command.startswith("python3 ledger.py")]


def executed(ledger: Path) -> list[tuple[str, str, int]]:
    """Method, id and replica of each request that a replica began."""
    rows = [row.split() for row in ledger.read_text().splitlines()]
    return [(method, identity, int(replica)) for method, identity, replica in rows]


def kill_all_of(pid: int) -> float:
    """Kill a replica's whole process group; it returns once it is gone."""
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    eventually(lambda: is_gone(pid), what="the killed process ends")
    return time.monotonic()


def is_gone(pid: int) -> bool:
    try:
        state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def number_of(pid: int) -> int:
    words = (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
    found = dict(word.split(b"=", 1) for word in words if b"=" in word)
    return int(found[b"DSTACK_REPLICA_NUM"])


def events(stack: Stack) -> list[str]:
    """What the events say that replicas ended with, newest first."""
    items = stack.api("GET", "/projects/main/runs/ledger/events")["items"]
    return [f"{each['subject']} {each['reason']}" for each in items if each["kind"] == "request"]


def test_only_posts_in_flight_on_it_fail_and_none_runs_twice(
    stack: Stack, tmp_path: Path, ledger: Path
) -> None:
    publish(stack, tmp_path / "folder", ledger)
    headers = {"Host": f"ledger.localhost:{stack.gateway_port}", **stack.bearer()}
    url = f"http://127.0.0.1:{stack.gateway_port}/"
    with Load(url, headers, per_second=PER_SECOND, most_open=PER_SECOND) as load:
        eventually(
            lambda: (
                {replica for _, _, replica in executed(ledger)} == set(range(REPLICAS))
                and len(load.answers) > PER_SECOND
            ),
            what="all replicas work",
        )
        before, victim = running(stack), programs(stack)[0]
        number = number_of(victim)

        gone_at = kill_all_of(victim)

        eventually(
            lambda: len(now := running(stack)) == REPLICAS and now != before,
            seconds=60,
            what="a replacement serves",
        )
        seen = len(load.answers)
        eventually(lambda: len(load.answers) > seen + PER_SECOND, what="a second of load")

    rows = executed(ledger)
    posts = Counter(identity for method, identity, _ in rows if method == "POST")
    where = {identity: replica for method, identity, replica in rows if method == "POST"}
    assert max(posts.values()) == 1
    assert not [each for each in load.failed if each.method == "GET"]
    assert {where.get(each.id, number) for each in load.failed} <= {number}
    assert not [each for each in load.failed if each.at > gone_at + EJECTION_SECONDS]
    # On a kept connection HAProxy says nothing and closes, as if it had not got the request.
    assert {each.status for each in load.failed} <= {0, 502}
    assert {each.id for each in load.answers if each.method == "POST" and each.is_good} <= set(
        posts
    )


@pytest.mark.long
def test_the_events_say_which_request_ended_a_replica(
    stack: Stack, tmp_path: Path, ledger: Path
) -> None:
    publish(stack, tmp_path / "folder", ledger, replicas=2)

    answer = stack.call("ledger", "/die?key=secret", **stack.bearer())
    eventually(lambda: len(events(stack)) == 2, seconds=30, what="both replicas' ends are told")

    assert (answer.status_code, "without an answer" in answer.text) == (502, True)
    first, second = sorted(events(stack), key=len)
    was_first = first.removesuffix(" exited while it answered GET /die")
    assert {was_first, second[: len(was_first)]} == {"replica 0", "replica 1"}
    assert second.endswith(f"answered GET /die, sent to it after {was_first} ended with it")
    assert stack.dstack("events", "ledger").count("exited while it answered GET /die") == 2
