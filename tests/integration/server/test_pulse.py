"""Workers and beat send a pulse as long as they work, whatever their broker does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dstack_web import processes
from dstack_web.embedded import children
from dstack_web.embedded.servers.valkey import Valkey
from dstack_web.embedded.watch import PULSE_VARIABLE, Pulse
from tests.integration.agent.running import eventually

WORKER = ["dstack_web.celery", "worker", "-P", "threads", "-c", "2", "-Q", "control"]
BEAT = [
    "dstack_web.worker.clock",
    "beat",
    "-S",
    "dstack_web.worker.clock:BeatingScheduler",
    "--pidfile=",
]
COMMANDS = {"worker": [*WORKER, *children.ALONE], "beat": BEAT}
START_SECONDS = 60.0
# What the supervisor allows a question.
SILENT_SECONDS, LOOKS = 10.0, 3


class Broker:
    """A Valkey of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.server = Valkey(folder=folder / "valkey", sockets=folder)
        self.server.prepare()
        self.process = processes.spawn(argv=self.server.argv(), env={}, log=folder / "valkey.log")
        eventually(self.server.is_ready)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.end()


Beating = tuple[Pulse, "subprocess.Popen[bytes]"]


@pytest.fixture(params=COMMANDS)
def beating(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Beating]:
    pulse = Pulse()
    environ = {
        **os.environ,
        "REDIS_URL": broker.server.url(),
        "CELERY_SKIP_CHECKS": "1",
        PULSE_VARIABLE: str(pulse.write_end),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", *COMMANDS[request.param]],
            env=environ,
            stdout=log,
            stderr=log,
            pass_fds=(pulse.write_end,),
        )
    assert pulse.beats(seconds=START_SECONDS)
    yield pulse, process
    process.kill()
    process.wait()


def leave(broker: Broker) -> None:
    """The broker is there, and has nothing to say."""


def hang(broker: Broker) -> None:
    broker.process.send_signal(signal.SIGSTOP)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("deed", [leave, hang, Broker.end])
def test_beats_whatever_the_broker_does(
    beating: Beating, broker: Broker, deed: Callable[[Broker], None]
) -> None:
    pulse, process = beating
    deed(broker)
    time.sleep(2)
    pulse.clear()

    heard = [pulse.beats(seconds=SILENT_SECONDS) for _ in range(LOOKS)]

    assert process.poll() is None
    assert all(heard)


def test_a_stopped_one_does_not_beat(beating: Beating) -> None:
    pulse, process = beating
    process.send_signal(signal.SIGSTOP)
    pulse.clear()
    time.sleep(0.5)
    pulse.clear()

    assert not pulse.beats(seconds=3)
