"""A workload as a plain process: what it sees, how it is reached, how it ends."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.host import procs
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import SERVE, RunningAgent, archive, eventually, workload


def get(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


@pytest.fixture
def held_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


def test_serves_an_upload_at_the_reported_address(
    control: ControlPlane, agent: RunningAgent
) -> None:
    blob = archive({"index.html": "hello from the upload"})
    blob_hash = hashlib.sha256(blob).hexdigest()
    control.blobs[blob_hash] = blob

    control.assign(workload(SERVE, upload_hash=blob_hash))

    report = control.wait_for("w1", ready=True)
    assert get(report.address or "") == "hello from the upload"
    assert report.phase == ""
    assert report.ready_at is not None


def test_measures_what_a_replica_uses(control: ControlPlane, agent: RunningAgent) -> None:
    """A child that burns one core and holds 64 MB, and children that come and go."""
    burn = "python3 -c 'x = b\"x\" * 2**26\nwhile True: pass' & "
    come_and_go = "while true; do sh -c 'true'; done & "
    control.assign(workload(f"{burn}{come_and_go}dd if=/dev/zero of=file bs=1M count=8; sleep 600"))

    control.wait(lambda: control.usage, seconds=60)

    (sample,) = control.usage[:1]
    assert sample.id == "w1"
    assert 0.2 < sample.cpu_cores < 4
    assert 2**26 < sample.memory_bytes < 2**28
    assert sample.disk_bytes is not None
    assert 2**23 < sample.disk_bytes < 2**25
    assert sample.gpu_percent is None


def test_passes_nothing_of_its_own_environment(
    control: ControlPlane, stopped_agent: RunningAgent
) -> None:
    stopped_agent.env["DATABASE_PASSWORD"] = "of the server"
    stopped_agent.start()

    control.assign(workload("env", env={"GREETING": "hé $HOME `id`"}))

    control.wait_for("w1", state=wire.EXITED)
    lines = control.wait(lambda: control.lines("w1"))
    names = {line.partition("=")[0] for line in lines}
    # `sh` adds PWD by itself.
    assert names <= {"GREETING", "PORT", "PATH", "HOME", "LANG", "PWD", "PYTHONUNBUFFERED"}
    assert "GREETING=hé $HOME `id`" in lines
    assert f"HOME={stopped_agent.folder('w1')}/work" in lines


@pytest.mark.parametrize(
    ("commands", "code", "message"),
    [
        (["echo one", "exit 3"], 3, "exited with code 3 after"),
        (["no-such-program-here"], 127, "command not found"),
        (["kill -9 $$"], 137, "killed by signal 9"),
        (["true"], 0, "exited with code 0 after"),
    ],
)
def test_says_how_a_command_ended(
    control: ControlPlane, agent: RunningAgent, commands: list[str], code: int, message: str
) -> None:
    control.assign(workload(*commands))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.exit_code == code
    assert message in report.message
    assert report.reason == wire.REASON_EXITED


def test_sends_the_last_20_lines_with_the_exit(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload("seq 1 50", "printf 'the end'", "exit 1"))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.last_lines == [*map(str, range(32, 51)), "the end"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shell": "no-such-shell"}, "command not found: no-such-shell"),
        ({"python": "3.2"}, "Python 3.2 is not on this host, which has: 3."),
        ({"working_dir": "../.."}, "leads out of the working folder"),
        ({"working_dir": "missing"}, "is no folder of the uploaded files"),
        ({"working_dir": "/no/such/folder"}, "is no folder of this host"),
        ({"env": {"A=B": "c"}}, "cannot be passed to a process"),
        ({"entrypoint": "'unclosed"}, "entrypoint: No closing quotation"),
        ({"commands": []}, "there is nothing to run"),
    ],
)
def test_says_what_is_wrong_with_a_workload_that_cannot_start(
    control: ControlPlane, agent: RunningAgent, fields: dict[str, Any], message: str
) -> None:
    control.assign(dataclasses.replace(workload("true"), **fields))

    report = control.wait_for("w1", state=wire.EXITED)

    assert message in report.message
    assert report.ready is False


def test_runs_an_entrypoint_with_the_commands_as_arguments(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("a b", "$HOME", entrypoint="printf '%s|'"))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.last_lines == ["a b|$HOME|"]


def test_stops_a_group_that_ignores_the_signal(control: ControlPlane, agent: RunningAgent) -> None:
    stubborn = "trap '' TERM; while true; do sleep 0.1; done"
    control.assign(workload(f'sh -c "{stubborn}" & {stubborn}'))
    pid = control.wait_for("w1", state=wire.RUNNING).pid or 0
    eventually(lambda: len(procs.of_session(pid)) > 2)

    control.ask_to_stop("w1", stop_seconds=0.5)

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.reason == wire.REASON_STOPPED
    assert "did not stop within" in report.message
    assert procs.of_session(pid) == []


def test_gives_the_whole_group_its_time_to_stop(control: ControlPlane, agent: RunningAgent) -> None:
    # The shell dies of the signal at once; its child still has something to finish.
    tidy = "trap 'sleep 0.5; echo tidy; exit' TERM; echo up; while true; do sleep 0.05; done"
    control.assign(workload(f'sh -c "{tidy}" & wait'))
    control.wait(lambda: "up" in control.lines("w1"))

    control.ask_to_stop("w1", stop_seconds=10)

    assert "tidy" in control.wait_for("w1", state=wire.EXITED).last_lines


def test_waits_without_an_end_where_stopping_has_no_limit(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("trap 'sleep 0.5; echo tidy; exit' TERM; echo up; sleep 60 & wait"))
    control.wait(lambda: "up" in control.lines("w1"))

    control.ask_to_stop("w1", stop_seconds=3650 * 86_400.0)

    report = control.wait_for("w1", state=wire.EXITED)
    assert (report.reason, report.last_lines) == (wire.REASON_STOPPED, ["up", "tidy"])


def test_leaves_no_daemon_behind(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload("setsid sleep 4242 >/dev/null 2>&1 & setsid sleep 4242 & sleep 0.2"))

    control.wait_for("w1", state=wire.EXITED)

    assert procs.with_home(str(agent.folder("w1") / "work")) == []


def test_removes_what_is_not_wanted_any_more(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload(SERVE))
    pid = control.wait_for("w1", ready=True).pid or 0

    control.forget("w1")

    eventually(lambda: not agent.folder("w1").exists())
    assert procs.of_session(pid) == []


def test_counts_the_specs_own_port_when_the_replica_listens_there(
    control: ControlPlane, agent_on_host_network: RunningAgent
) -> None:
    port = free_port()
    control.assign(workload(f"python3 -m http.server {port}", container_port=port))

    report = control.wait_for("w1", ready=True)

    assert report.address == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("bind", "host"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")],
)
def test_finds_the_address_that_connects(
    control: ControlPlane, agent_on_host_network: RunningAgent, bind: str, host: str
) -> None:
    control.assign(workload(f"python3 -m http.server $PORT --bind {bind}"))

    report = control.wait_for("w1", ready=True)

    assert (report.address or "").rpartition(":")[0] == host


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("python3 -m http.server {other} --bind 127.0.0.1", ": it listens on port {other}; "),
        ("python3 -m http.server {other}", ": it listens on port {other}; "),
        ("sleep 60", ""),
    ],
)
def test_tells_a_wrong_port_by_the_number_of_the_file(
    control: ControlPlane, agent_on_host_network: RunningAgent, command: str, instead: str
) -> None:
    other = free_port()
    control.assign(workload(command.format(other=other), container_port=8123))

    told = instead.format(other=other) + ("let it listen on $PORT" if instead else "")
    report = control.wait(
        lambda: (r := control.seen("w1")) and r.probe_message.endswith(f"yet{told}") and r
    )

    assert report.probe_message.startswith("nothing listens on port 8123 ($PORT, which is 2")
    assert report.ready is False


def test_tells_the_port_of_a_ready_replica_by_the_number_of_the_file(
    control: ControlPlane, agent_on_host_network: RunningAgent
) -> None:
    spec = wire.ProbeSpec(interval_seconds=0.1)
    server = "python3 -m http.server $PORT --bind 127.0.0.1 & echo $! && sleep 60"
    control.assign(workload(server, probes=[spec], container_port=8123))
    control.wait_for("w1", ready=True)

    said = control.wait(lambda: [line for line in control.lines("w1") if line.isdigit()])
    os.kill(int(said[0]), signal.SIGKILL)

    told = control.wait_for("w1", ready=False).probe_message
    assert told.startswith(("port 8123 ($PORT", "nothing listens on port 8123 ($PORT"))


def test_does_not_take_anothers_socket_for_its_own(
    control: ControlPlane, agent_on_host_network: RunningAgent, held_port: int
) -> None:
    control.assign(workload("sleep 60 # PORT", container_port=held_port))

    report = control.wait(
        lambda: (r := control.seen("w1")) and "must listen on $PORT" in r.probe_message and r
    )

    assert report.address is None
    assert report.ready is False


@pytest.mark.parametrize("after", ["exit 1", "sleep 60"])
def test_tells_to_use_the_port_variable_when_the_port_is_taken(
    control: ControlPlane, agent_on_host_network: RunningAgent, held_port: int, after: str
) -> None:
    control.assign(
        workload(f"python3 -m http.server {held_port} || {after}", container_port=held_port)
    )

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.reason == wire.REASON_PORT_TAKEN
    assert "write $PORT in `commands`" in report.message


def test_limits_memory_where_the_kernel_lets_it(control: ControlPlane, agent: RunningAgent) -> None:
    limited = workload("python3 -c 'b = bytearray(500 << 20)' && sleep 60", memory_limit_mib=64)
    control.assign(limited)

    def said() -> str:
        return " ".join(control.lines("w1"))

    report = control.wait(
        lambda: (r := control.seen("w1")) and (r.reason or "limited" in said()) and r
    )
    if "memory and CPU are not limited" in said():
        pytest.skip("this host lets nobody limit memory, and the agent said so")
    assert report.reason == wire.REASON_OUT_OF_MEMORY
    assert "64 MiB" in report.message


def test_gives_each_of_many_replicas_a_port_of_its_own(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(*[workload(SERVE, id=f"w{n}") for n in range(4)])

    addresses = {control.wait_for(f"w{n}", ready=True).address for n in range(4)}

    assert len(addresses) == 4


def test_notices_when_a_ready_replica_stops_listening(
    control: ControlPlane, agent: RunningAgent
) -> None:
    spec = wire.ProbeSpec(interval_seconds=0.1)
    server = "python3 -m http.server $PORT & echo $! && sleep 60"
    control.assign(workload(server, probes=[spec]))
    control.wait_for("w1", ready=True)

    os.kill(int(control.wait(lambda: control.lines("w1"))[0]), signal.SIGKILL)

    assert "Connection refused" in control.wait_for("w1", ready=False).probe_message


def test_waits_for_an_http_probe(control: ControlPlane, agent: RunningAgent) -> None:
    spec = wire.ProbeSpec(kind="http", url="/health", interval_seconds=0.1, ready_after=2)
    control.assign(workload("python3 -m http.server $PORT", probes=[spec]))
    control.wait(lambda: (r := control.seen("w1")) and "answered 404" in r.probe_message)

    (agent.folder("w1") / "work" / "health").write_text("fine")

    assert control.wait_for("w1", ready=True).probe_message == ""


CHAT = """python3 -u -c '
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        status = pathlib.Path("status").read_text().strip()
        print("answered", status)
        self.send_response(int(status))
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'"""
CHAT_PROBES = [
    wire.ProbeSpec(kind="http", method="POST", body="{}", until_ready=True, accepts_refusal=True),
    wire.ProbeSpec(interval_seconds=0.05),
]


def test_waits_for_a_model_that_loads_and_asks_it_no_more_once_it_answers(
    control: ControlPlane, agent: RunningAgent
) -> None:
    server = f"echo 503 > status; {CHAT} & echo $!; sleep 60"
    control.assign(workload(server, probes=CHAT_PROBES))
    control.wait(lambda: (r := control.seen("w1")) and "answered 503" in r.probe_message)

    (agent.folder("w1") / "work" / "status").write_text("200")
    control.wait_for("w1", ready=True)
    os.kill(int(control.wait(lambda: control.lines("w1"))[0]), signal.SIGKILL)

    assert "Connection refused" in control.wait_for("w1", ready=False).probe_message
    assert control.lines("w1").count("answered 200") == 1


def test_lets_a_model_that_does_not_chat_get_traffic(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload(f"echo 404 > status && {CHAT}", probes=CHAT_PROBES))

    assert "answered 404 Not Found" in control.wait_for("w1", ready=True).probe_message


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port: int = trial.getsockname()[1]
        return port
