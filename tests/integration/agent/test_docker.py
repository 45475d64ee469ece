"""A workload as a container of a real engine."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker.engine import Engine
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.engines import IMAGE, SERVE, make_image, running_engine
from tests.integration.agent.running import RunningAgent, archive, eventually


@pytest.fixture(scope="module")
def engine_address() -> Iterator[str]:
    with running_engine() as address:
        yield address


@pytest.fixture
def engine(engine_address: str) -> Engine:
    return Engine(engine_address)


@pytest.fixture
def agent(stopped_agent: RunningAgent, engine_address: str) -> Iterator[RunningAgent]:
    stopped_agent.env["DOCKER_HOST"] = engine_address
    stopped_agent.start()
    yield stopped_agent
    stopped_agent.clean_up()


def workload(*commands: str, **fields: Any) -> wire.WorkloadSpec:
    return running.workload(*commands, **{"executor": "docker", "image": IMAGE, **fields})


def get(address: str | None, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def containers(engine: Engine) -> list[Any]:
    found: list[Any] = engine.call("GET", "/containers/json", query={"all": 1})
    return found


def upload(control: ControlPlane, content: dict[str, str]) -> str:
    blob = archive(content)
    name = hashlib.sha256(blob).hexdigest()
    control.blobs[name] = blob
    return name


def test_runs_three_replicas_on_one_container_port(
    control: ControlPlane, agent: RunningAgent
) -> None:
    blob = upload(control, {"index.html": "from the upload"})
    control.assign(*[workload(SERVE, id=f"w{n}", upload_hash=blob) for n in range(3)])

    addresses = [control.wait_for(f"w{n}", ready=True).address for n in range(3)]

    assert len(set(addresses)) == 3
    assert [get(address) for address in addresses] == ["from the upload"] * 3


def test_gives_environment_user_and_working_folder(
    control: ControlPlane, agent: RunningAgent
) -> None:
    blob = upload(control, {"sub/file": "text"})
    commands = ["echo $PORT $GREETING", "id -u", "pwd", "cat file", "touch mine"]
    fields = {"env": {"GREETING": "hé"}, "user": "1234", "working_dir": "sub"}

    control.assign(workload(*commands, upload_hash=blob, container_port=7777, **fields))

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.last_lines == ["7777 hé", "1234", "/workflow/sub", "text"]
    assert report.exit_code == 0


RUN_ME = {"srv/app/run-me": "#!/bin/sh\npwd; ls /workflow; exec sleep 600\n"}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (['CMD ["./run-me"]'], {}),
        (['ENTRYPOINT ["./run-me"]'], {}),
        (['CMD ["sh", "run-me"]'], {}),
        ([], {"entrypoint": "./run-me"}),
        (['CMD ["/srv/app/run-me"]'], {}),
    ],
)
def test_the_images_own_program_runs_in_the_images_folder_beside_an_upload(
    control: ControlPlane,
    agent: RunningAgent,
    engine_address: str,
    changes: list[str],
    fields: dict[str, Any],
) -> None:
    make_image(engine_address, "test/own:1", "WORKDIR /srv/app", *changes, files=RUN_ME)
    blob = upload(control, {"serve.dstack.yml": "type: service"})

    control.assign(workload(image="test/own:1", upload_hash=blob, **fields))

    assert control.wait(lambda: control.lines("w1")[1:]) == ["serve.dstack.yml"]
    assert control.lines("w1")[0] == "/srv/app"


def test_commands_run_in_the_upload_whatever_the_images_folder_is(
    control: ControlPlane, agent: RunningAgent, engine_address: str
) -> None:
    make_image(engine_address, "test/own:1", "WORKDIR /srv/app", files=RUN_ME)
    blob = upload(control, {"mine": "text"})

    control.assign(workload("pwd", "cat mine", image="test/own:1", upload_hash=blob))

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.last_lines == ["/workflow", "text"]


@pytest.mark.parametrize(
    "change",
    [
        'CMD ["httpd", "-f", "-p", "8000"]',
        'ENTRYPOINT ["httpd", "-f", "-p", "8000"]',
        # No init goes before what is one by its name, so the kernel drops its SIGTERM.
        'ENTRYPOINT ["/bin/tini"]',
    ],
)
def test_what_does_not_hear_a_signal_as_the_first_process_stops_at_once(
    control: ControlPlane, agent: RunningAgent, engine_address: str, change: str
) -> None:
    program = {"bin/tini": "#!/bin/sh\nexec httpd -f -p 8000\n"}
    make_image(engine_address, "test/deaf:1", change, files=program)
    control.assign(workload(image="test/deaf:1"))
    control.wait_for("w1", ready=True)

    asked_at = time.monotonic()
    control.ask_to_stop("w1", stop_seconds=30)
    report = control.wait_for("w1", state=wire.EXITED, seconds=25)

    assert time.monotonic() - asked_at < 5
    assert (report.reason, report.message) == (wire.REASON_STOPPED, "stopped")


def test_what_hears_the_signal_ends_in_its_own_time(
    control: ControlPlane, agent: RunningAgent, engine_address: str
) -> None:
    text = (
        "#!/bin/sh\ntrap 'sleep 1; echo tidy; exit 7' TERM\necho up\nwhile :; do sleep 0.1; done\n"
    )
    make_image(engine_address, "test/tidy:1", 'CMD ["/run-me"]', files={"run-me": text})
    control.assign(workload(image="test/tidy:1"))
    control.wait(lambda: control.lines("w1"))

    control.ask_to_stop("w1", stop_seconds=30)

    report = control.wait_for("w1", state=wire.EXITED)
    assert report.last_lines == ["up", "tidy"]
    assert report.exit_code == 7


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("httpd -f -p 127.0.0.1:8000", "it listens on 127.0.0.1 inside the container"),
        ("httpd -f -p 5000", "but on 5000: write that port as `port`"),
        ("sleep 600", "nothing listens on it in the container yet"),
    ],
)
@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_says_why_a_port_is_not_reached(
    control: ControlPlane, agent: RunningAgent, command: str, words: str, kind: str
) -> None:
    control.assign(workload(command, probes=[wire.ProbeSpec(kind=kind)]))

    def told() -> bool:
        report = control.seen("w1")
        return report is not None and words in report.probe_message

    control.wait(told)
    report = control.seen("w1")
    assert report is not None
    assert report.probe_message.startswith("connection refused on 8000: ")
    assert (report.phase, report.ready) == ("starting", False)


def test_a_failing_probe_names_the_containers_port(
    control: ControlPlane, agent: RunningAgent
) -> None:
    probe = wire.ProbeSpec(kind="http", url="/none")
    control.assign(workload(SERVE, probes=[probe]))

    control.wait(lambda: (r := control.seen("w1")) and "GET /none: answered 404" in r.probe_message)


def test_says_that_an_image_has_no_shell(
    control: ControlPlane, agent: RunningAgent, engine_address: str
) -> None:
    make_image(engine_address, "test/bare:1", programs=["httpd"])

    control.assign(workload("httpd -f -p 8000", image="test/bare:1"))

    report = control.wait_for("w1", state=wire.EXITED)
    assert "the image has no shell to run `commands`" in report.message
    assert "`entrypoint:`" in report.message
    control.assign(
        workload(id="w2", image="test/bare:1", entrypoint="httpd -f -p 8000"),
    )
    control.wait_for("w2", ready=True)


def test_names_memory_only_where_the_end_was_by_it(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("tail /dev/zero || true", "exit 3", memory_limit_mib=32))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.reason == wire.REASON_EXITED
    assert report.message.startswith("exited with code 3 after")


def test_tells_whose_a_container_is_and_how_many_processes_it_may_have(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    control.assign(workload(SERVE, run_name="hello", project="main"))
    control.wait_for("w1", ready=True)

    (container,) = containers(engine)
    labels = container["Labels"]
    about = engine.call("GET", f"/containers/{container['Id']}/json")
    assert (labels["dstack.run"], labels["dstack.project"]) == ("hello", "main")
    assert about["HostConfig"]["PidsLimit"] == 16384


def test_runs_the_images_own_command(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload())

    assert control.wait(lambda: control.lines("w1")) == ["own command of the image"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": "no-such-image-anywhere:9"}, "image no-such-image-anywhere:9"),
        ({"image": "../../version"}, "is not the name of an image"),
        ({"image": None}, "there is no image to run"),
        ({"commands": [], "entrypoint": "/no/such/program"}, "command not found: /no/such/program"),
        ({"upload_hash": "0" * 64}, "the uploaded files cannot be fetched"),
    ],
)
def test_says_why_a_container_cannot_start(
    control: ControlPlane, agent: RunningAgent, engine: Engine, fields: dict[str, Any], message: str
) -> None:
    control.assign(dataclasses.replace(workload("true"), **fields))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.reason == wire.REASON_PREPARE_FAILED
    assert message in report.message
    assert containers(engine) == []


def test_says_how_a_container_ended(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    control.assign(workload("seq 3", "exit 4"))

    report = control.wait_for("w1", state=wire.EXITED)

    assert (report.exit_code, report.reason) == (4, wire.REASON_EXITED)
    assert report.last_lines == ["1", "2", "3"]
    eventually(lambda: containers(engine) == [])


def test_says_when_memory_ran_out(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload("exec tail /dev/zero", memory_limit_mib=32))

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.reason == wire.REASON_OUT_OF_MEMORY
    assert "32 MiB" in report.message


def test_passes_the_signal_on_to_everything_in_the_container(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    child = "trap 'sleep 0.5; echo tidy; exit' TERM; echo up; while true; do sleep 0.1; done"
    control.assign(workload("true", f'sh -c "{child}"'))
    control.wait(lambda: "up" in control.lines("w1"))

    control.ask_to_stop("w1", stop_seconds=10)

    report = control.wait_for("w1", state=wire.EXITED, seconds=8)
    assert report.reason == wire.REASON_STOPPED
    assert "tidy" in report.last_lines
    eventually(lambda: containers(engine) == [])


def test_kills_a_container_that_ignores_the_signal(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("trap '' TERM; echo up; while true; do sleep 0.1; done"))
    control.wait(lambda: control.lines("w1"))

    control.ask_to_stop("w1", stop_seconds=0.5)

    report = control.wait_for("w1", state=wire.EXITED)
    assert "did not stop within" in report.message


def test_takes_up_its_containers_after_a_kill(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    count = "for i in $(seq 400); do echo $i; usleep 5000; done"
    control.assign(workload(f"{count} & {SERVE}"))
    before = control.wait_for("w1", ready=True)
    control.wait(lambda: len(control.lines("w1")) > 20)
    agent.kill()
    time.sleep(0.3)  # output comes while no agent listens
    control.reports.clear()

    agent.start()

    assert control.wait_for("w1", ready=True).address == before.address
    control.wait(lambda: len(control.lines("w1")) >= 400)
    assert control.lines("w1") == [str(n) for n in range(1, 401)]
    assert len(containers(engine)) == 1


def test_removes_containers_that_nobody_knows(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    control.assign(workload(SERVE))
    control.wait_for("w1", ready=True)
    agent.kill()
    for file in agent.folder("w1").glob("*.json"):
        file.unlink()
    control.forget("w1")

    agent.start()

    eventually(lambda: containers(engine) == [])


def test_stops_its_containers_when_it_is_told_to_stop(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    control.assign(workload(SERVE))
    control.wait_for("w1", ready=True)

    code = agent.stop()

    assert code == 0
    assert containers(engine) == []
    assert control.wait_for("w1", state=wire.EXITED).reason == wire.REASON_HOST_STOPPED


def test_is_not_ready_before_something_listens_in_the_container(
    control: ControlPlane, agent: RunningAgent
) -> None:
    control.assign(workload("echo up; sleep 1; " + SERVE))
    control.wait(lambda: (r := control.seen("w1")) and r.ready is False and r.address)

    report = control.wait_for("w1", ready=True)

    assert report.started_at is not None and report.ready_at is not None
    assert report.ready_at > report.started_at


def test_says_that_no_engine_answers(control: ControlPlane, stopped_agent: RunningAgent) -> None:
    stopped_agent.env["DOCKER_HOST"] = "unix:///no/such/socket"
    stopped_agent.start()

    control.assign(workload("true"))

    report = control.wait_for("w1", state=wire.EXITED, seconds=30)
    assert report.reason == wire.REASON_ENGINE_AWAY
    assert "no container engine answers at unix:///no/such/socket" in report.message


def test_measures_what_a_container_uses(control: ControlPlane, agent: RunningAgent) -> None:
    control.assign(workload("while true; do :; done", memory_limit_mib=128))

    control.wait(lambda: control.usage, seconds=60)

    (sample,) = control.usage[:1]
    assert 0.1 < sample.cpu_cores < 2
    assert 0 <= sample.memory_bytes < 2**27
