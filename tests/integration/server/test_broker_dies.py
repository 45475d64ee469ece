"""A worker goes on after the broker died while all its threads had work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from dstack_web import processes
from dstack_web.embedded import children
from dstack_web.embedded.servers.valkey import Valkey
from tests.integration.agent.running import eventually

THREADS = 2
START_SECONDS = 60.0


class Broker:
    """A Valkey of the test's own, and who sends tasks to it."""

    def __init__(self, folder: Path) -> None:
        self.server = Valkey(folder=folder / "valkey", sockets=folder)
        self.server.prepare()
        self.folder = folder
        self.clock = Celery(broker=self.server.url().replace("unix:", "redis+socket:"))
        self.start()

    def start(self) -> None:
        log = self.folder / "valkey.log"
        self.process = processes.spawn(argv=self.server.argv(), env={}, log=log)
        eventually(self.server.is_ready)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, path: Path, *, seconds: float) -> None:
        self.clock.send_task(
            "tests.slow", [str(path), seconds], queue="control", ignore_result=True
        )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.clock.close()
    broker.kill()


@pytest.fixture
def log(broker: Broker, tmp_path: Path) -> Iterator[Path]:
    """What a worker says, which has two threads."""
    log = tmp_path / "worker.log"
    argv = [sys.executable, "-m", "celery", "-A", "dstack_web.celery", "worker"]
    argv += ["--include", "tests.fakes.slow", "-P", "threads", "-c", str(THREADS), "-Q", "control"]
    argv += children.ALONE
    environ = {**os.environ, "REDIS_URL": broker.server.url(), "CELERY_SKIP_CHECKS": "1"}
    with log.open("wb") as output:
        worker = subprocess.Popen([*argv, "-l", "INFO"], env=environ, stdout=output, stderr=output)
    eventually(lambda: " ready." in log.read_text(), seconds=START_SECONDS)
    yield log
    worker.kill()
    worker.wait()


def test_a_worker_reads_on_after_all_its_tasks_lost_their_broker(
    broker: Broker, log: Path, tmp_path: Path
) -> None:
    first = [tmp_path / f"first-{number}" for number in range(THREADS)]
    for path in first:
        broker.send(path, seconds=1)
    eventually(lambda: all(path.exists() for path in first))
    broker.kill()
    eventually(lambda: log.read_text().count("Couldn't ack") == THREADS)
    broker.start()
    broker.send(tmp_path / "next", seconds=0)

    eventually((tmp_path / "next").exists, seconds=START_SECONDS)
