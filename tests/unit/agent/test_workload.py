"""A workload's life over an executor of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.host import procs
from apps.agent.host.usage import Used
from apps.agent.workloads import output, workload
from apps.agent.workloads.executor import Check, End, Place, PrepareFailed, Say, Sighting

DEADLINE_SECONDS = 10.0


class FakeExecutor:
    """Runs nothing: it is what the test says, and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        self.seen = Sighting()
        self.where = Place()
        self.cut_off = False
        self.why = ""
        self.calls: list[str] = []
        self.on_prepare: Callable[[Check], None] = lambda check: None

    def prepare(self, *, say: Say, check: Check) -> list[str]:
        self.calls.append("prepare")
        self.on_prepare(check)
        return ["a remark"]

    def start(self) -> None:
        self.calls.append("start")
        self.seen = Sighting(time.time(), 42)

    def adopt(self) -> None:
        self.calls.append("adopt")

    def sight(self) -> Sighting:
        return self.seen

    def renew(self, spec: wire.WorkloadSpec) -> None:
        self.calls.append("renew")

    def usage(self, table: procs.Table) -> Used | None:
        return None

    def place(self) -> Place:
        return self.where

    def image_pin(self) -> str:
        return ""

    def is_cut_off(self) -> bool:
        return self.cut_off

    def listens(self) -> bool:
        return True

    def why_not_reached(self) -> str:
        return self.why

    def stop(self, *, seconds: float) -> None:
        self.calls.append(f"stop {seconds:g}")
        self.end(0, wire.REASON_STOPPED, "stopped")

    def end(self, code: int, reason: str = wire.REASON_EXITED, message: str = "exited") -> None:
        started_at = self.seen.started_at
        self.seen = Sighting(started_at, 42, End(code, reason, message, time.time()))

    def release(self) -> None:
        self.calls.append("release")

    def remove(self) -> None:
        self.calls.append("remove")


@pytest.fixture
def executor(tmp_path: Path) -> FakeExecutor:
    return FakeExecutor(tmp_path / "w")


def begun(executor: FakeExecutor, **fields: Any) -> workload.Workload:
    spec = wire.WorkloadSpec(**{"id": "w", "name": "w", "commands": ["serve"], **fields})
    made = workload.Workload(
        spec=spec,
        folder=executor.output.parent,
        executor=executor,
        on_change=lambda: None,
    )
    made.begin()
    return made


def ended(one: workload.Workload) -> wire.WorkloadReport:
    one.thread.join(DEADLINE_SECONDS)
    assert not one.thread.is_alive()
    return one.report


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_prepares_starts_and_ends(executor: FakeExecutor) -> None:
    one = begun(executor)
    wait_for(lambda: one.report.state == wire.RUNNING)

    executor.end(3)
    one.wake()

    report = ended(one)
    assert (report.state, report.exit_code, report.message) == (wire.EXITED, 3, "exited")
    assert executor.calls == ["prepare", "start", "adopt", "release"]
    assert report.last_lines == ["[agent] a remark"]


def test_adopts_what_runs_already(executor: FakeExecutor) -> None:
    executor.seen = Sighting(time.time(), 42)

    one = begun(executor)
    wait_for(lambda: executor.calls)

    assert executor.calls == ["adopt"]
    one.abandon()


def test_does_not_start_what_is_to_stop(executor: FakeExecutor) -> None:
    report = ended(begun(executor, desired="stop"))

    assert (report.reason, report.message) == (wire.REASON_STOPPED, "stopped before it started")
    assert "start" not in executor.calls


def test_stops_while_it_prepares(executor: FakeExecutor) -> None:
    preparing = threading.Event()

    def forever(check: Check) -> None:
        preparing.set()
        while True:
            check()
            time.sleep(0.001)

    executor.on_prepare = forever
    one = begun(executor)
    preparing.wait(DEADLINE_SECONDS)

    one.stop(reason=wire.REASON_HOST_STOPPED, seconds=5)

    assert ended(one).reason == wire.REASON_HOST_STOPPED


def test_says_why_it_cannot_start(executor: FakeExecutor) -> None:
    def fail(check: Check) -> None:
        raise PrepareFailed("no such thing")

    executor.on_prepare = fail

    report = ended(begun(executor))

    assert (report.reason, report.message) == (wire.REASON_PREPARE_FAILED, "no such thing")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_says_when_the_agent_itself_fails(executor: FakeExecutor) -> None:
    def fail(check: Check) -> None:
        raise ZeroDivisionError("a mistake of ours")

    executor.on_prepare = fail

    report = ended(begun(executor))

    assert "the agent failed" in report.message
    assert "a mistake of ours" in report.message


def test_lets_the_shorter_time_count(executor: FakeExecutor) -> None:
    executor.seen = Sighting(time.time(), 42)
    one = begun(executor)
    wait_for(lambda: one.report.state == wire.RUNNING)

    one.stop(reason=wire.REASON_STOPPED, seconds=30)
    one.stop(reason=wire.REASON_STOPPED, seconds=60)

    assert ended(one).reason == wire.REASON_STOPPED
    assert [call for call in executor.calls if call.startswith("stop")] == ["stop 30"]


def test_tells_its_end_again_after_a_restart(executor: FakeExecutor) -> None:
    one = begun(executor)
    wait_for(lambda: one.report.state == wire.RUNNING)
    executor.end(3)
    one.wake()
    first = ended(one)
    executor.calls.clear()

    assert ended(begun(executor)) == first
    assert executor.calls == ["release"]


def test_ends_what_never_listens_where_another_holds_its_port(
    executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "TAKEN_SECONDS", 0.05)
    monkeypatch.setattr(workload, "SILENT_SECONDS", 0.05)
    executor.where = Place(taken_port=8000)

    report = ended(begun(executor, commands=["python app.py"]))

    assert report.reason == wire.REASON_PORT_TAKEN
    assert "port 8000 is in use by another program" in report.message


def test_waits_for_a_command_that_names_the_port(
    executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "TAKEN_SECONDS", 0.05)
    monkeypatch.setattr(workload, "SILENT_SECONDS", 0.05)
    executor.where = Place(taken_port=8000)
    one = begun(executor, commands=["load for an hour && serve --port $PORT"])
    wait_for(lambda: "must listen on $PORT" in one.report.probe_message)

    one.thread.join(0.5)

    assert one.report.state == wire.RUNNING
    one.abandon()


def test_says_that_a_port_was_taken_when_the_output_says_so(executor: FakeExecutor) -> None:
    executor.where = Place(taken_port=8000)
    one = begun(executor, commands=["serve --port $PORT"])
    wait_for(lambda: one.report.state == wire.RUNNING)
    writer = output.Writer(executor.output)
    writer.append([(1, "OSError: [Errno 98] Address already in use")])

    executor.end(1)
    one.wake()

    assert ended(one).reason == wire.REASON_PORT_TAKEN


def test_waits_for_an_engine_that_is_away(executor: FakeExecutor) -> None:
    made = begun(executor, container_port=1)
    executor.cut_off, executor.why = True, "no engine"

    wait_for(lambda: made.report.phase == wire.PHASE_ENGINE_AWAY)
    assert made.report.probe_message == "no engine"
    executor.cut_off, executor.why = False, ""

    wait_for(lambda: made.report.phase == "starting")
    made.abandon()
