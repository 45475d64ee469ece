"""A machine that AWS is asked for boots for real: its user-data, as the cloud was given it, is run
by cloud-init and systemd, fetches the agent from a real server, enrols and runs a replica. The
server's certificate comes from an authority that nobody knows but who was told of it.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.models import Project
from apps.agent import wire
from apps.backends import base
from apps.backends import services as backends
from apps.backends.providers.aws.provider import AwsProvider
from apps.backends.registry import PROVIDERS
from apps.core import crypto, ids
from apps.core.models import Event
from apps.instances import reconcile, services
from apps.instances.boot import enrolment, program
from apps.instances.models import Instance, Workload
from tests import factories
from tests.fakes import aws_cloud
from tests.free_ports import free_port
from tests.integration.agent.engines import IMAGE, SERVE, make_image
from tests.integration.agent.running import eventually
from tests.integration.gateway.authorities import Ca
from tests.integration.instances import virtual_machines
from tests.integration.instances.virtual_machines import HERE, Cloud, Machine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[3]
NORTH = "us-east-1"
CPU = base.Hardware(cpus=2, memory_mib=8192, disk_mib=102400)
KEYS = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "k" * 40}
BOOT_SECONDS = 30.0
PROGRAM = "/opt/dstack-agent/agent.pyz"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with virtual_machines.cloud() as made:
        yield made


@pytest.fixture
def server(
    cloud: Cloud, database_url: str, redis_url: str, settings: Any, tmp_path: Path
) -> Iterator[str]:
    """The web server on the test database, at an address that machines of the cloud reach."""
    port, authority = free_port(), Ca("of the server")
    url = settings.DSTACK_AGENT_URL = f"https://{HERE}:{port}"
    settings.DSTACK_AGENT_CA = authority.text
    made = authority.sign(HERE)
    files = (("ca", authority.text), ("chain", made.chain), ("key", made.key))
    for name, text in files:
        (tmp_path / f"{name}.pem").write_text(text)
    environ = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    environ |= {"DSTACK_AGENT_URL": url, "DSTACK_HOME": str(tmp_path / "home")}
    environ |= {"DSTACK_AGENT_CA": str(tmp_path / "ca.pem")}
    argv = [sys.executable, "-P", "-m", "granian", "--interface", "asginl", "--host", HERE]
    argv += ["--port", str(port), "--loop", "asyncio", "--runtime-mode", "st"]
    argv += ["--ssl-certificate", str(tmp_path / "chain.pem")]
    argv += ["--ssl-keyfile", str(tmp_path / "key.pem")]
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [*argv, "dstack_web.asgi:application"], env=environ, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        eventually(lambda: answers(f"{url}/healthz", authority))
        yield url
    finally:
        web.terminate()
        web.wait()
        connection.close()


def answers(url: str, authority: Ca) -> bool:
    known_by = ssl.create_default_context(cadata=authority.text)
    try:
        return httpx.get(url, timeout=2, verify=known_by).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class Wanted:
    """An instance on AWS with one workload; `emulator` is what was asked there."""

    instance: Instance
    workload: Workload
    emulator: aws_cloud.Emulator

    def advance(self) -> Instance:
        reconcile.advance(ids=[self.instance.pk], at=timezone.now())
        self.instance.refresh_from_db()
        return self.instance

    def seen(self) -> Workload:
        self.workload.refresh_from_db()
        return self.workload

    @property
    def user_data(self) -> str:
        """As AWS was given it."""
        return base64.b64decode(self.emulator.faults.made[-1]["UserData"]).decode()

    def at_aws(self) -> str:
        provider = backends.provider_of(self.instance.backend)
        return str(provider.inspect(self.instance.ref).state)


@pytest.fixture
def wanted(
    server: str, aws: aws_cloud.Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Wanted]:
    monkeypatch.setitem(PROVIDERS, AwsProvider.kind, AwsProvider)
    project = factories.project("main", admin=factories.user("alice"))
    config = {"creds": KEYS, "regions": [NORTH]}
    backend = backends.connect(project=project, kind="aws", config=config)
    workload = services.place(
        project=Project.objects.get(pk=project.pk),
        backend=backend,
        offer=base.Offer("aws", NORTH, "m5.large", CPU, 0.096, kind="aws", executors=("process",)),
        new=services.NewWorkload(
            run_id=ids.new_id(),
            name="hello-0",
            spec={
                "run_name": "hello",
                "executor": "process",
                "commands": ["echo hello", "exec python3 -m http.server 8000"],
                "container_port": 8000,
            },
            secrets={"env": {"SECRET": "of the replica"}, "registry_password": None},
            idle_seconds=0,
        ),
        at=timezone.now(),
    )
    made = Wanted(Instance.objects.get(), workload, aws)
    assert made.advance().state == "booting", made.instance.error
    yield made


@pytest.fixture
def machine(cloud: Cloud, wanted: Wanted) -> Iterator[Machine]:
    """The machine that AWS was asked for."""
    booted = cloud.boot("wanted", wanted.user_data)
    yield booted
    booted.end()


def wait(condition: Any, machine: Machine) -> None:
    try:
        eventually(condition, seconds=BOOT_SECONDS)
    except AssertionError:
        known = list(Workload.objects.values("state", "phase", "probe_message", "message"))
        raise AssertionError(f"{machine.console()[-3000:]}\n{known}") from None


ANOTHER_VERSION = f"""
import json, pathlib, zipfile
zipfile.ZipFile("{PROGRAM}", "a").writestr("of-another-version", "")
config = pathlib.Path("/etc/dstack-agent/config.json")
said = json.loads(config.read_text())
said["machine"]["update_seconds"] = 0.0
config.write_text(json.dumps(said))
soon = pathlib.Path("/run/systemd/system/dstack-agent.service.d/soon.conf")
soon.parent.mkdir(parents=True)
soon.write_text("[Service]\\nWatchdogSec=8\\n")
"""


def main_pid(machine: Machine) -> str:
    return machine.run("systemctl", "show", "-P", "MainPID", "dstack-agent").strip()


def signalled(machine: Machine, name: str) -> None:
    """Send the agent a signal and wait until systemd has started another one."""
    before = main_pid(machine)
    machine.run("systemctl", "kill", "-s", name, "--kill-whom=main", "dstack-agent")
    wait(lambda: main_pid(machine) not in (before, "0"), machine)


def version_of(machine: Machine) -> str:
    return machine.run("sha256sum", PROGRAM).split()[0]


def container(instance: Instance, machine: Machine) -> tuple[Workload, list[str]]:
    """Have the machine run a container, too; return how the engine was told to run it."""
    make_image(machine.cloud.engine.address, IMAGE)
    spec = {"executor": "docker", "image": IMAGE, "commands": [SERVE], "container_port": 8000}
    more = {"run_name": "box", "project": "main", "shm_size_mib": 64, "cache": "1"}
    made = factories.workload(instance, state=wire.ASSIGNED, spec={**spec, **more})
    with transaction.atomic():
        services.tell_agent(instance)
    wait(lambda: Workload.objects.get(pk=made.pk).ready, machine)
    bounds = "{{.HostConfig.ShmSize}} {{.HostConfig.Privileged}} {{.Config.Image}}"
    return made, machine.cloud.docker("inspect", "-f", bounds, f"dstack-{made.pk}").split()


def test_boots_enrols_runs_and_ends(wanted: Wanted, machine: Machine) -> None:
    wait(lambda: wanted.seen().ready, machine)

    instance = wanted.instance
    instance.refresh_from_db()
    assert (instance.state, wanted.workload.state) == ("ready", wire.RUNNING)
    assert instance.hostname == "wanted"
    assert instance.public_key.startswith("ssh-ed25519 ")
    assert instance.token_hash != ids.token_hash(crypto.decrypt(instance.token))
    asked = wanted.emulator.faults.made[-1]
    tags = {
        asked[key]: asked[key.replace("Key", "Value")]
        for key in asked
        if ".Tag." in key and key.endswith("Key")
    }
    assert tags["dstack-web-run"] == "hello"
    assert asked["BlockDeviceMapping.1.Ebs.VolumeSize"] == "100"

    # Nothing of the machine shows a secret but to root.
    enrolled_with = crypto.decrypt(instance.token)
    token = json.loads(machine.run("cat", "/etc/dstack-agent/config.json"))["token"]
    assert ids.token_hash(token) == instance.token_hash
    assert token not in wanted.user_data
    said = machine.console() + machine.run("journalctl", "--no-pager")
    said += machine.run("cat", "/var/log/cloud-init.log", "/var/log/cloud-init-output.log")
    assert [secret for secret in (enrolled_with, token, "of the replica") if secret in said] == []
    assert "enrolled" in machine.console()
    files = ("/etc/dstack-agent/config.json", "/etc/dstack-agent/enrolment.json")
    seen = machine.run("stat", "-c", "%n %a %U", *files)
    assert f"{files[0]} 600 root" in seen
    assert "No such file" in seen.split("enrolment.json")[1]

    # The agent goes, also one of another version that hangs later; the replica stays.
    pid = machine.run("pgrep", "-f", "http.server 8000").split()[0]
    machine.run("python3", "-c", ANOTHER_VERSION)
    machine.run("systemctl", "daemon-reload")
    signalled(machine, "KILL")
    wait(lambda: "restarting as the server's version of the agent" in machine.console(), machine)
    assert version_of(machine) == program.program().sha256
    signalled(machine, "STOP")
    assert pid in machine.run("pgrep", "-f", "http.server 8000").split()

    box, bounds = container(instance, machine)
    assert bounds == [str(64 * 2**20), "false", IMAGE]

    services.stop_workloads(workloads=[wanted.workload, box], at=timezone.now(), stop_seconds=5)
    wait(lambda: wanted.seen().state == wire.EXITED, machine)
    wait(lambda: Workload.objects.get(pk=box.pk).state == wire.EXITED, machine)
    wait(lambda: wanted.advance().state == "terminated", machine)
    assert wanted.at_aws() == "gone"


@pytest.mark.long
def test_a_document_that_runs_again_does_no_harm(wanted: Wanted, machine: Machine) -> None:
    wait(lambda: wanted.seen().ready, machine)
    machine.run("cloud-init", "clean")
    Instance.objects.update(reported_at=None)

    machine.restart()

    wait(lambda: Instance.objects.get().reported_at is not None, machine)
    assert not Event.objects.filter(state_machine="enrolment").exists()
    wait(lambda: "No such file" in machine.run("ls", "/etc/dstack-agent/enrolment.json"), machine)


@pytest.mark.long
def test_says_on_its_console_that_its_enrolment_was_used(cloud: Cloud, wanted: Wanted) -> None:
    stolen = wire.Enrolment(crypto.decrypt(wanted.instance.token), "0" * 64)
    enrolment.enrol(asked=stolen, at=timezone.now())

    machine = cloud.boot("used", wanted.user_data)

    wait(lambda: "Somebody else used this enrolment" in machine.console(), machine)
    wanted.instance.refresh_from_db()
    assert "somebody else used its enrolment" in wanted.instance.error
    assert wanted.instance.state == "booting"
    machine.end()


def changed(user_data: str, **fields: Any) -> str:
    """The document with other fields in what it tells the agent."""
    content = yaml.safe_load(user_data)
    told = json.loads(content["write_files"][0]["content"]) | fields
    content["write_files"][0]["content"] = json.dumps(told)
    return f"#cloud-config\n{yaml.safe_dump(content)}"


UNACCEPTED = "cannot be reached: its certificate is refused: "
UNKNOWN = "this machine is not enrolled: the server answered 401: This enrolment is unknown"


@pytest.mark.long
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"enrolment": "dsk_e_" + "0" * 39}, UNKNOWN),
        ({"program_sha256": "0" * 64}, "is not the agent that this machine was told of (SHA-256)"),
        ({"authority": Ca("of the server").text}, UNACCEPTED),
        ({"url": f"http://{HERE}:1"}, "cannot be reached: [Errno 111] Connection refused"),
        ({"url": "http://[2001:db8::1]"}, "cannot be reached: [Errno 101] Network is unreachable"),
    ],
    ids=["wrong enrolment", "another program", "another authority", "no server", "no network"],
)
def test_says_on_its_console_what_keeps_it_from_booting(
    cloud: Cloud, wanted: Wanted, fields: dict[str, Any], sentence: str
) -> None:
    machine = cloud.boot("wrong", changed(wanted.user_data, **fields))

    wait(lambda: sentence in " ".join(machine.console().split()), machine)
    assert crypto.decrypt(wanted.instance.token) not in machine.console()
    machine.end()


def test_a_machine_that_its_server_refuses_shuts_down(cloud: Cloud, wanted: Wanted) -> None:
    fields = {"machine": {"refused_seconds": 1.0}, "enrolment": "dsk_e_" + "0" * 39}
    machine = cloud.boot("refused", changed(wanted.user_data, **fields))

    wait(lambda: not machine.is_up, machine)
    assert "shutting this machine down" in machine.console()
    machine.end()
