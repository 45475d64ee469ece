"""Output reaches the server whole, in order, once."""

from __future__ import annotations

from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import RunningAgent, eventually, workload


def test_ships_every_line_once_through_breaks_and_kills(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.accept_lines = 7
    control.assign(workload("for i in $(seq 300); do echo $i; sleep 0.01; done", "sleep 60"))
    control.wait(lambda: len(control.lines("w1")) > 20)
    agent.kill()
    control.stop()
    agent.start()
    control.start()

    control.wait(lambda: len(control.lines("w1")) == 300)

    assert control.lines("w1") == [str(n) for n in range(1, 301)]
    assert control.gaps == []


def test_ships_what_was_written_while_the_server_was_away(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("echo first", "sleep 0.3", "seq 1 5000", "sleep 60"))
    control.wait(lambda: control.lines("w1"))
    control.stop()
    eventually(
        lambda: "5000" in (agent.folder("w1") / "output").glob("*.log").__next__().read_text()
    )

    control.start()

    control.wait(lambda: len(control.lines("w1")) == 5001)
    assert control.lines("w1")[1:] == [str(n) for n in range(1, 5001)]


def test_sends_a_line_that_has_no_end_yet(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload("printf 'password: '", "sleep 60"))

    assert control.wait(lambda: control.lines("w1")) == ["password: "]


def test_splits_long_lines_and_replaces_what_is_not_text(
    control: ControlPlane, agent: RunningAgent
) -> None:
    long = "python3 -c 'print(chr(233) * 100000)'"
    control.assign(workload(long, "printf 'a\\377b\\000c\\r\\n'", "sleep 60"))

    lines = control.wait(lambda: len(control.lines("w1")) == 5 and control.lines("w1"))

    assert all(len(line.encode()) <= 64 * 1024 for line in lines)
    assert sum(line.count("é") for line in lines) == 100000
    assert lines[-1] == "a\ufffdb\ufffdc"


def test_sends_the_last_lines_of_a_workload_that_is_not_wanted_any_more(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(
        workload("trap 'seq 1 3000; exit' TERM; echo up; while true; do sleep 0.05; done")
    )
    control.wait(lambda: control.lines("w1"))

    control.forget("w1")

    eventually(lambda: not agent.folder("w1").exists())
    assert control.lines("w1")[-1] == "3000"
