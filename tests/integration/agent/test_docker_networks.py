"""What containers of a real engine reach, and what stays of them on the host."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker import networks as docker_networks
from apps.agent.docker.engine import Engine
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent import running
from tests.integration.agent.engines import IMAGE, SERVE, make_image, running_engine
from tests.integration.agent.running import RunningAgent, eventually


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


def networks(engine: Engine) -> list[str]:
    found = [network["Name"] for network in engine.call("GET", "/networks")]
    return sorted(name for name in found if name not in ("bridge", "host", "none"))


def address_of(engine: Engine, workload_id: str) -> str:
    about = engine.call("GET", f"/containers/dstack-{workload_id}/json")
    (network,) = about["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def reaches(control: ControlPlane, address: str, *, run_id: str, name: str) -> bool:
    """Whether a container of the run gets an answer from there."""
    ask = f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address.replace(':', ' ')}"
    control.assign(workload(f"{ask} || echo nothing", id=name, run_id=run_id))
    report = control.wait_for(name, state=wire.EXITED)
    assert report.exit_code == 0
    return "hi" in report.last_lines


@pytest.mark.skipif(
    Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1",
    reason="this host lets nobody keep networks apart: it forwards packets",
)
def test_containers_reach_those_of_their_own_run_only(
    control: ControlPlane, agent: RunningAgent, engine: Engine, engine_address: str
) -> None:
    make_image(engine_address, "test/page:1", files={"www/hello": "hi"})
    control.assign(
        workload("httpd -f -p 8000 -h /www", id="a", run_id="run-a", image="test/page:1")
    )
    control.wait_for("a", ready=True)
    address = f"{address_of(engine, 'a')}:8000"

    assert reaches(control, address, run_id="run-a", name="friend")
    assert not reaches(control, address, run_id="run-b", name="stranger")


def test_a_network_lives_as_long_as_its_run_is_here(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    control.assign(*[workload(SERVE, id=f"w{n}", run_id="run-a") for n in range(3)])
    for n in range(3):
        control.wait_for(f"w{n}", ready=True)
    (name,) = networks(engine)
    about = engine.call("GET", f"/networks/{name}")
    assert about["IPAM"]["Config"][0]["Subnet"].endswith(f"/{docker_networks.PREFIX}")

    for n in range(2):
        control.ask_to_stop(f"w{n}")
        control.wait_for(f"w{n}", state=wire.EXITED)
    assert networks(engine) == [name]
    control.ask_to_stop("w2")
    control.wait_for("w2", state=wire.EXITED)

    eventually(lambda: networks(engine) == [])


@pytest.mark.long
def test_more_runs_than_an_engines_own_pools_have_networks(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    count = 35
    control.assign(*[workload("sleep 600", id=f"w{n}", run_id=f"run-{n}") for n in range(count)])
    for n in range(count):
        control.wait_for(f"w{n}", state=wire.RUNNING, seconds=120)

    assert len(networks(engine)) == count
    for n in range(count):
        control.ask_to_stop(f"w{n}", stop_seconds=0.0)
    eventually(lambda: networks(engine) == [], seconds=60)


def test_a_killed_agent_leaves_no_network_for_good(
    control: ControlPlane, agent: RunningAgent, engine: Engine
) -> None:
    control.assign(workload(SERVE, run_id="run-a"), workload(SERVE, id="w2", run_id="run-b"))
    control.wait_for("w1", ready=True)
    control.wait_for("w2", ready=True)
    assert len(networks(engine)) == 2
    agent.kill()
    for file in agent.folder("w1").glob("*.json"):
        file.unlink()
    control.forget("w1")
    control.reports.clear()

    agent.start()

    eventually(lambda: [n[-5:] for n in networks(engine)] == ["run-b"])
    # What runs keeps its network, and the agent knows that it is used.
    control.wait_for("w2", ready=True)
    control.ask_to_stop("w2")
    eventually(lambda: networks(engine) == [])


def secrets_on_disk(home: Path) -> list[Path]:
    files = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".pyz"]
    return [path for path in files if b"geheim" in path.read_bytes()]


@pytest.mark.parametrize("executor", ["docker", "process"])
def test_no_secret_lies_in_the_agents_files(
    control: ControlPlane, agent: RunningAgent, executor: str
) -> None:
    control.assign(
        running.workload(
            "busybox httpd -f -p $PORT",
            executor=executor,
            image=IMAGE if executor == "docker" else None,
            env={"TOKEN": "geheim"},
            registry_username="bob",
            registry_password="geheim",
        )
    )

    control.wait_for("w1", ready=True)

    assert (agent.folder("w1") / "record.json").exists()
    assert secrets_on_disk(agent.home) == []


def test_takes_up_what_it_probes_with_a_secret(
    control: ControlPlane, agent: RunningAgent, engine_address: str
) -> None:
    """The probe's header is nowhere on the disk, and a probe without it would be refused."""
    page = {"www/hello": "hi", "httpd.conf": "/:bob:geheim\n"}
    make_image(engine_address, "test/guarded:1", files=page)
    password = base64.b64encode(b"bob:geheim").decode()
    headers = [("Authorization", f"Basic {password}")]
    probe = wire.ProbeSpec(kind="http", url="/hello", headers=headers, interval_seconds=0.2)
    command = "exec httpd -f -p 8000 -h /www -c /httpd.conf"
    control.assign(workload(command, image="test/guarded:1", probes=[probe]))
    control.wait_for("w1", ready=True)
    agent.kill()
    control.reports.clear()
    assert password not in json.dumps([p.read_text() for p in agent.folder("w1").glob("*.json")])

    agent.start()

    control.wait_for("w1", ready=True)
    readiness = [report.workloads[0].ready for report in control.reports if report.workloads]
    assert False not in readiness


def test_what_was_not_started_begins_anew_with_its_secrets(
    control: ControlPlane, agent: RunningAgent
) -> None:
    """Killed while it is prepared: the next agent has nothing of its environment on the disk."""
    control.blobs["a" * 64] = b""
    control.assign(workload("echo got $TOKEN", env={"TOKEN": "geheim"}, upload_hash="b" * 64))
    eventually(lambda: (agent.folder("w1") / "record.json").exists())
    agent.kill()
    assert secrets_on_disk(agent.home) == []
    control.forget("w1")
    control.assign(workload("echo got $TOKEN", env={"TOKEN": "geheim"}))

    agent.start()

    assert control.wait(lambda: control.lines("w1")) == ["got geheim"]


def test_takes_other_ports_where_a_row_of_them_is_taken(
    control: ControlPlane, agent: RunningAgent, engine_address: str
) -> None:
    """As by another engine of this machine, which counts up from the same port."""
    make_image(engine_address, "test/ports:1", 'CMD ["httpd", "-f", "-p", "8000"]')
    control.assign(workload(image="test/ports:1", id="w1"))
    port = int((control.wait_for("w1", ready=True).address or "").rpartition(":")[2])
    with ExitStack() as taken:
        for each in range(port + 1, port + 25):
            listener = taken.enter_context(socket.socket())
            with suppress(OSError):  # somebody else's already
                listener.bind(("127.0.0.1", each))
        control.assign(workload(image="test/ports:1", id="w2"))

        assert control.wait_for("w2", ready=True)
