"""Several real workers, a cloud that fails, hints lost and doubled: the rules of runs hold.

People run, update, scale, stop and delete two services while workers are killed and put to sleep
past their leases, Valkey is emptied, and the cloud is full, silent, slow, or lies. All that is
drawn from a seed; `CROWD_SEEDS=1-20` looks longer.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.db import connection

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.registry import PROVIDERS
from apps.core.errors import AppError
from apps.instances import states as instance_states
from apps.instances import tasks as instance_tasks
from apps.instances.models import BOOT_NAME, Instance
from apps.runs import services, states, tasks
from apps.runs.control.decide import SURGE
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from dstack_web import tasks as sweeps
from tests import factories
from tests.e2e.chaos.invariants import broken_in
from tests.fakes.agent import FakeAgent
from tests.fakes.shared_cloud import FOLDER, SEED, SharedCloud, World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[3]
CROWD_SECONDS = 14.0
REST_SECONDS = 90.0
STEP_SECONDS = 0.05
LOG_TAIL_CHARACTERS = 4000
WORKERS = 3
QUEUES = "control,outside"
HURRIED = ("--include", "tests.fakes.hurried", "-l", "INFO")
# Longer than the lease of a hurried worker.
PAUSE_SECONDS = 3.0
# So much later than it should, its clock may wake it.
AWAKE_SECONDS = 0.5
ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat")
TEXT = """\
type: service
name: {name}
image: web
commands: [serve]
port: 8000
replicas: {replicas}
stop_duration: 1s
idle_duration: 1s
env: [VERSION={version}]
retry: {{on_events: [no-capacity, interruption, error], duration: 1h}}
"""
NAMES = ("red", "blue")
MOST = 3
# Columns of a row that a failure shows.
TOLD = ("pk", "state", "state_at", "next_check_at")


def seeds() -> list[int]:
    first, _, last = os.environ.get("CROWD_SEEDS", "1").partition("-")
    return list(range(int(first), int(last or first) + 1))


@dataclass
class Crowd:
    """The workers, the agents of the machines that exist, and who sends what when."""

    chance: random.Random
    access: Access
    project: Project
    world: World
    environ: dict[str, str]
    log: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    asleep: list[tuple[float, subprocess.Popen[bytes]]] = field(default_factory=list)
    agents: dict[str, FakeAgent] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    version: int = 0

    def hire(self) -> None:
        pool = ("-P", "threads", "-c", "4", "-Q", QUEUES, "-n", f"w{time.monotonic_ns()}@%h")
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "celery", "-A", "dstack_web.celery", "worker", *HURRIED]
            self.workers.append(
                subprocess.Popen(
                    [*argv, *pool, *ALONE],
                    cwd=ROOT,
                    env=self.environ,
                    stdout=log,
                    stderr=log,
                )
            )

    def dismiss(self) -> None:
        for _, worker in self.asleep:
            worker.send_signal(signal.SIGCONT)
        for worker in self.workers:
            worker.kill()
            worker.wait()

    # The clock and the machines, which go on whatever happens.

    def turn(self) -> None:
        """Let the clock and every agent have their turn."""
        self.every(0.3, "sweep", sweeps.sweep_due.delay)
        self.every(1.0, "catch-up", tasks.catch_up.delay)
        self.every(1.5, "orphans", instance_tasks.collect_orphans.delay)
        self.every(0.3, "agents", self.report)
        now = time.monotonic()
        self.asleep = [each for each in self.asleep if each[0] > now]
        assert not broken_in(self.environ["DATABASE_URL"])
        existing = list(self.world.read()["machines"].values())
        assert len(existing) == len(set(existing)), "a row has two machines"
        self.see_surge()

    def every(self, seconds: float, name: str, what: Callable[[], object]) -> None:
        if self.due.get(name, 0.0) <= time.monotonic():
            self.due[name] = time.monotonic() + seconds
            with suppress(OSError):
                what()

    def report(self) -> None:
        """Each machine that exists has an agent, which does as it is told; some workloads fail."""
        existing = set(self.world.read()["machines"].values())
        rows = Instance.objects.in_bulk([UUID(name.removeprefix(BOOT_NAME)) for name in existing])
        self.agents = {name: each for name, each in self.agents.items() if name in existing}
        for pk, row in rows.items():
            agent = self.agents.setdefault(f"{BOOT_NAME}{pk}", FakeAgent(row))
            agent.sync()
            agent.serve()
            if self.is_stormy and agent.workloads and self.chance.random() < 0.03:
                agent.exit_one(self.chance.choice(list(agent.workloads)))

    @property
    def is_stormy(self) -> bool:
        return not self.world.read()["is_calm"]

    def see_surge(self) -> None:
        for run in Run.objects.exclude(state__in=states.RUN.final):
            gone = (*states.REPLICA.final, states.DRAINING)
            live = Replica.objects.filter(run=run).exclude(state__in=gone).count()
            assert live <= MOST + SURGE, f"{run.name} has {live} live replicas"

    # What people do, and what happens to the parts.

    def disturb(self) -> None:
        deeds = [self.run] * 4 + [self.scale] * 4 + [self.stop] * 2 + [self.delete]
        faults = [self.double] * 3 + [self.lose, self.kill, self.pause]
        deed = self.chance.choice(deeds + faults)
        self.done.append(deed.__name__)
        with suppress(AppError, OSError):
            deed()

    def run(self) -> None:
        self.version += self.chance.choice((0, 1))
        text = TEXT.format(
            name=self.chance.choice(NAMES),
            replicas=self.chance.randint(0, MOST),
            version=self.version,
        )
        services.submit(access=self.access, project=self.project, request=PlanRequest(text))

    def one(self) -> Run:
        found = list(Run.objects.filter(deleted_at=None))
        if not found:
            raise AppError("there is none")
        return self.chance.choice(found)

    def scale(self) -> None:
        replicas = str(self.chance.randint(0, MOST))
        services.scale(access=self.access, run=self.one(), replicas=replicas)

    def stop(self) -> None:
        abort = self.chance.random() < 0.3
        services.stop(access=self.access, run=self.one(), abort=abort)

    def delete(self) -> None:
        services.delete(access=self.access, run=self.one())

    def double(self) -> None:
        """Hints that nobody needs, several times, to whoever picks them up."""
        for task, model in (
            (tasks.reconcile, Run),
            (tasks.advance, Replica),
            (instance_tasks.advance, Instance),
        ):
            ids = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
            for _ in range(3):
                task.delay(ids=self.chance.sample(ids, len(ids)))

    def lose(self) -> None:
        redis.Redis.from_url(settings.REDIS_URL).flushall()

    def kill(self) -> None:
        worker = self.workers.pop(self.chance.randrange(len(self.workers)))
        self.asleep = [each for each in self.asleep if each[1] is not worker]
        worker.kill()
        worker.wait()
        self.hire()

    def pause(self) -> None:
        awake = [w for w in self.workers if w not in [each for _, each in self.asleep]]
        if len(awake) > 1:
            worker = self.chance.choice(awake)
            worker.send_signal(signal.SIGSTOP)
            # By a thread of its own: it may sleep with a row locked that we wait for ourselves.
            clock = threading.Timer(PAUSE_SECONDS, worker.send_signal, [signal.SIGCONT])
            clock.daemon = True
            clock.start()
            self.asleep.append((time.monotonic() + PAUSE_SECONDS + AWAKE_SECONDS, worker))

    # What must be so in the end.

    def is_at_rest(self) -> bool:
        if broken_in(self.environ["DATABASE_URL"], at_rest=True):
            return False
        return self.asleep == [] and self.machines_wrong() == {}

    def machines_wrong(self) -> dict[str, set[str]]:
        """Machines without a live row, and rows without a machine."""
        existing = set(self.world.read()["machines"].values())
        live = Instance.objects.exclude(state__in=instance_states.INSTANCE.final)
        rows = {f"{BOOT_NAME}{row.pk}" for row in live}
        found = {
            "leaked": existing - rows,
            "without a machine": rows - existing,
        }
        return {what: names for what, names in found.items() if names}

    def tail(self) -> str:
        """Return the last of what the workers logged."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def settle(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + REST_SECONDS
        while not holds():
            assert time.monotonic() < end, (
                f"no {what}: {broken_in(self.environ['DATABASE_URL'], at_rest=True)} "
                f"{self.machines_wrong()} left {left(self.world)} after {self.done}; {self.tail()}"
            )
            self.turn()
            time.sleep(STEP_SECONDS)


@pytest.fixture(params=seeds())
def crowd(
    request: pytest.FixtureRequest,
    redis_url: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Crowd]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(SEED, str(request.param))
    monkeypatch.setitem(PROVIDERS, SharedCloud.kind, SharedCloud)
    alice = factories.user("alice")
    project = factories.project("crowded", admin=alice)
    backends.connect(project=project, kind=SharedCloud.kind, config={})
    environ = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    environ |= {"DSTACK_DB_POOL": "6", "PYTHONPATH": str(ROOT)}
    environ |= {"DSTACK_AGENT_URL": "https://dstack.example"}
    made = Crowd(
        random.Random(request.param),
        Access(user=alice),
        project,
        World(tmp_path),
        environ,
        tmp_path / "workers.log",
    )
    for _ in range(WORKERS):
        made.hire()
    yield made
    made.dismiss()
    connection.close()


def test_nothing_is_lost_doubled_or_leaked_in_a_crowd(crowd: Crowd) -> None:
    crowd.run()
    crowd.settle("worker", lambda: Run.objects.exclude(state="submitted").exists())
    end = time.monotonic() + CROWD_SECONDS
    while time.monotonic() < end:
        crowd.disturb()
        pause = time.monotonic() + crowd.chance.uniform(0, 0.6)
        while time.monotonic() < pause:
            crowd.turn()
            time.sleep(STEP_SECONDS)
    crowd.world.calm_down()
    crowd.settle("rest", crowd.is_at_rest)
    assert crowd.world.read()["made"], "the cloud was never asked"

    for run in Run.objects.exclude(state__in=states.RUN.final):
        services.stop(access=crowd.access, run=run)
    # The cloud is rid of a machine before its row says so.
    crowd.settle("end", lambda: crowd.is_at_rest() and not left(crowd.world))


def left(world: World) -> list[object]:
    """Return what is not over: runs, replicas, instances, and machines of the cloud."""
    return [
        *Run.objects.exclude(state__in=states.RUN.final).values(*TOLD),
        *Replica.objects.exclude(state__in=states.REPLICA.final).values(*TOLD),
        *Instance.objects.exclude(state__in=instance_states.INSTANCE.final).values(*TOLD),
        *world.read()["machines"],
    ]
