"""A real agent on a machine that was made for it: it enrols, ends the machine that nobody wants,
and takes the server's version of itself. Hurried by the configuration, with a shutdown of its own.
"""

from __future__ import annotations

import io
import json
import shutil
import stat
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.agent import build
from apps.agent.host import files, procs
from tests.fakes.control_plane import ENROLMENT, ControlPlane, sha256
from tests.integration.agent.running import SERVE, RunningAgent, eventually, workload

LONG = 600.0


@dataclass
class Machine:
    """`was_shut_down` is the file that its shutdown command makes."""

    agent: RunningAgent
    control: ControlPlane
    folder: Path

    @property
    def enrolment(self) -> Path:
        return self.folder / "enrolment.json"

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def program(self) -> Path:
        return self.folder / "agent.pyz"

    @property
    def was_shut_down(self) -> Path:
        return self.folder / "was shut down"

    def says(self, text: str) -> bool:
        return self.agent.log.exists() and text in self.agent.log.read_text()

    def boot(self, *, enrolment: str = ENROLMENT, **rules: Any) -> None:
        """Do as the boot document does; `rules` are seconds."""
        times = {"refused_seconds": LONG, "silent_seconds": LONG, "update_seconds": 0.0, **rules}
        shutdown = ["touch", str(self.was_shut_down)]
        said = {"url": self.control.url, "enrolment": enrolment, "program_sha256": "0" * 64}
        files.write_json(self.enrolment, {**said, "machine": {**times, "shutdown": shutdown}})
        build.build(self.program)
        self.agent.argv = [sys.executable, str(self.program)]
        self.agent.argv += ["--config", str(self.config), "--enrolment", str(self.enrolment)]
        self.agent.env["DSTACK_AGENT_CONFIG"] = ""
        self.agent.start()


@pytest.fixture
def machine(stopped_agent: RunningAgent, control: ControlPlane, place: Path) -> Machine:
    return Machine(stopped_agent, control, place)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_trades_its_enrolment_for_a_token_of_its_own(
    machine: Machine, control: ControlPlane
) -> None:
    control.assign(workload(SERVE))
    machine.boot()

    assert control.wait_for("w1", ready=True).address
    config = json.loads(machine.config.read_text())
    assert config["token"].startswith("dsk_a_")
    assert len(config["token"]) == 49
    assert control.enrolments[0].token_sha256 == sha256(config["token"].encode())
    assert (config["instance_id"], "enrolment" in config) == (control.instance_id, False)
    assert (mode(machine.config), machine.enrolment.exists()) == (0o600, False)
    assert [secret for secret in (config["token"], ENROLMENT) if machine.says(secret)] == []
    command_line = Path(f"/proc/{machine.agent.pid}/cmdline").read_text()
    assert config["token"] not in command_line


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="this machine has no ssh-keygen")
def test_makes_a_key_that_only_root_may_read(machine: Machine, control: ControlPlane) -> None:
    machine.boot()
    control.wait(lambda: control.reports)

    key = machine.agent.home / "ssh" / "id_ed25519"
    assert (mode(key), mode(key.parent)) == (0o600, 0o700)
    assert control.enrolments[0].ssh_public_key == key.with_suffix(".pub").read_text().strip()


def test_says_that_it_has_no_key_where_it_can_make_none(
    machine: Machine, control: ControlPlane
) -> None:
    machine.agent.env["PATH"] = str(machine.folder)
    machine.boot()
    control.wait(lambda: control.reports)

    assert control.enrolments[0].ssh_public_key == ""
    assert machine.says("this machine has no key, so nothing can be tunnelled to it")


def test_asks_with_the_same_token_after_a_kill(machine: Machine, control: ControlPlane) -> None:
    control.refuse_with = 503
    machine.boot()
    eventually(lambda: machine.says("this machine is not enrolled: the server answered 503"))
    kept = (machine.agent.home / "enrolling.json").read_text()
    machine.agent.kill()
    control.refuse_with = None

    machine.agent.start()

    control.wait(lambda: control.reports)
    assert control.enrolments[0].token_sha256 == sha256(json.loads(kept)["token"].encode())
    eventually(lambda: not (machine.agent.home / "enrolling.json").exists())


def test_does_not_enrol_again_with_a_document_that_runs_twice(
    machine: Machine, control: ControlPlane
) -> None:
    machine.boot()
    control.wait(lambda: control.reports)
    machine.agent.stop()
    control.reports.clear()

    machine.boot()

    control.wait(lambda: control.reports)
    assert len(control.enrolments) == 1
    assert not machine.enrolment.exists()


def test_ends_the_machine_whose_enrolment_is_refused(
    machine: Machine, control: ControlPlane
) -> None:
    machine.boot(enrolment="dsk_e_anothers", refused_seconds=0.5)

    eventually(machine.was_shut_down.exists)
    assert machine.says("this machine is not enrolled: the server answered 401: refused by the")
    assert machine.says("the server has refused this machine for")
    assert machine.agent.stop() == 0


def test_ends_the_machine_that_finds_no_server_at_first(
    machine: Machine, control: ControlPlane
) -> None:
    control.stop()
    machine.boot(silent_seconds=1.0)

    eventually(machine.was_shut_down.exists)
    assert machine.says("this machine is not enrolled: Connection refused")
    assert machine.says("no server has answered for")


def test_ends_the_machine_whose_instance_is_over(machine: Machine, control: ControlPlane) -> None:
    control.assign(workload(SERVE))
    machine.boot(refused_seconds=1.0)
    pid = control.wait_for("w1", ready=True).pid or 0
    assert not machine.was_shut_down.exists()

    control.refuse_with = 401

    eventually(machine.was_shut_down.exists)
    assert procs.of_session(pid) == []
    assert machine.says("the server has refused this machine for")


def test_leaves_the_machine_of_a_person_that_is_no_host_any_more(
    machine: Machine, control: ControlPlane
) -> None:
    control.assign(workload(SERVE))
    left = machine.folder / "left"
    (machine.folder / "uninstall.py").write_text(f"open({str(left)!r}, 'w').close()")
    machine.boot(lent=True, refused_seconds=0.0)
    pid = control.wait_for("w1", ready=True).pid or 0
    control.refuse_with = 401
    eventually(lambda: machine.says("the server answered 401"))
    assert not left.exists()

    control.refuse_with = 410

    eventually(left.exists)
    assert procs.of_session(pid) == []
    assert machine.says("this machine is no host of its server any more")
    assert not machine.was_shut_down.exists()
    assert machine.agent.stop() == 0


def test_ends_the_machine_whose_server_is_away_for_good(
    machine: Machine, control: ControlPlane
) -> None:
    control.assign(workload(SERVE))
    machine.boot(silent_seconds=3.0)
    pid = control.wait_for("w1", ready=True).pid or 0

    control.stop()
    control.hang_up()

    eventually(machine.was_shut_down.exists)
    assert procs.of_session(pid) == []
    assert machine.says("no server has answered for")


def test_an_agent_that_starts_again_and_again_counts_on(
    machine: Machine, control: ControlPlane
) -> None:
    machine.boot(silent_seconds=3.0)
    control.wait(lambda: control.reports)
    control.stop()
    control.hang_up()
    for _ in range(2):
        machine.agent.kill()
        machine.agent.start()

    eventually(machine.was_shut_down.exists)


def test_says_why_it_cannot_shut_the_machine_down(machine: Machine, control: ControlPlane) -> None:
    machine.boot(enrolment="dsk_e_anothers", refused_seconds=0.1)
    eventually(machine.was_shut_down.exists)
    machine.agent.stop()
    said = json.loads(machine.enrolment.read_text())
    said["machine"]["shutdown"] = ["/no/such/shutdown"]
    files.write_json(machine.enrolment, said)

    machine.agent.start()

    eventually(lambda: machine.says("this machine cannot be shut down"))
    assert machine.agent.stop() == 0


def another(version: str, *, main: str = "") -> bytes:
    """The agent's program with another version, or another main module."""
    with zipfile.ZipFile(io.BytesIO(build.content())) as packed:
        content = {name: packed.read(name).decode() for name in packed.namelist()}
    content["apps/agent/agent.py"] = content["apps/agent/agent.py"].replace(
        'VERSION = "', f'VERSION = "{version}-'
    )
    content["__main__.py"] = main or content["__main__.py"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_takes_the_servers_version_without_touching_replicas(
    machine: Machine, control: ControlPlane
) -> None:
    control.assign(workload(SERVE))
    machine.boot()
    before = control.wait_for("w1", ready=True)

    control.program = another("next")
    control.assign(workload("exit 0", id="w2"))

    control.wait(lambda: control.reports[-1].agent_version.startswith("next-"))
    after = control.wait_for("w1", ready=True)
    assert (after.pid, after.address) == (before.pid, before.address)
    with urllib.request.urlopen(f"http://{after.address}/", timeout=5) as answer:
        assert answer.status == 200
    assert control.wait_for("w2", state="exited").exit_code == 0
    assert machine.agent.process is not None
    assert machine.agent.process.poll() is None
    assert sha256(machine.program.read_bytes()) == sha256(control.program)
    assert not machine.was_shut_down.exists()


@pytest.mark.parametrize(
    ("program", "announced", "sentence"),
    [
        (another("x", main="raise SystemExit(3)"), "", "does not run on this machine"),
        (b"no program", "", "does not run on this machine"),
        (another("x"), "0" * 64, "it is not the one that was announced"),
    ],
)
def test_goes_on_where_the_servers_version_is_no_good(
    machine: Machine, control: ControlPlane, program: bytes, announced: str, sentence: str
) -> None:
    machine.boot()
    control.wait(lambda: control.reports)
    running = machine.program.read_bytes()

    control.program, control.announced = program, announced
    control.assign(workload("exit 0"))

    eventually(lambda: machine.says(sentence))
    assert control.wait_for("w1", state="exited").exit_code == 0
    assert machine.program.read_bytes() == running
    assert sorted(machine.folder.glob("agent.pyz*")) == [machine.program]


def test_waits_before_it_takes_another_version(machine: Machine, control: ControlPlane) -> None:
    machine.boot(update_seconds=LONG)
    control.program = another("next")
    control.assign(workload("exit 0"))
    control.wait_for("w1", state="exited")

    assert "GET /api/agent/agent.pyz" not in control.calls
