"""A machine of a person's, the whole way: added by the command line over a real sshd, a service on
it that callers reach, a gateway beside it, a restart of the machine, and a removal of each that
leaves it as it was, also one while it is away.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e import gateway_machines, prepared
from tests.e2e.services import WHO, who_answers
from tests.e2e.stack import Stack, eventually
from tests.free_ports import free_port
from tests.integration.instances import virtual_machines
from tests.integration.instances.virtual_machines import Cloud, Machine

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SERVICE = (WHO / "serve.dstack.yml").read_text() + "backends: [ssh]\n"
RUN = ("run", ".", "-f", "serve.dstack.yml", "-n", "who", "-y", "-d")
BOOT_SECONDS, GATEWAY_SECONDS = 90.0, 120.0
# What any machine writes while it runs, whoever was there; and where ssh logins leave their time.
LIVELY = re.compile(
    r"/(proc|sys|run|dev|tmp)(/|$)|/var/(log|cache|tmp|lib/systemd|lib/cloud|lib/private)(/|$)|"
    r"__pycache__|/etc/(resolv.conf|hostname|hosts|machine-id|mtab)$"
)
WITHOUT_SYSTEMD = "sh -c 'mkdir -p /run/sshd; cron; exec /usr/sbin/sshd -D -p 2222'"


@dataclass(frozen=True)
class Traces:
    """What could be left on a machine."""

    files: frozenset[str]
    processes: tuple[str, ...]
    keys: str
    # Users, groups, units of systemd and ports on which somebody listens.
    registered: frozenset[str] = frozenset()


# Of the folders that come anew with each boot, ours.
IN_RUN = "find /run /tmp -xdev -name '*dstack*'"
REGISTERED = """
getent passwd; getent group; cut -d: -f1 /etc/shadow /etc/gshadow; cat /etc/subuid /etc/subgid
systemctl list-unit-files --no-legend --no-pager
cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" { print "listens", $2 }'
"""


def traces(machine: Machine) -> Traces:
    listed = machine.run("find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/sys", ")",
                         "-prune", "-o", "-print")  # fmt: skip
    commands = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    ours = [line for line in commands.splitlines() if "dstack" in line or "who.py" in line]
    files = [line for line in listed.splitlines() if not LIVELY.search(line)]
    return Traces(
        files=frozenset([*files, *machine.run("sh", "-c", IN_RUN).splitlines()]),
        processes=tuple(sorted(ours)),
        keys=machine.run("cat", "/root/.ssh/authorized_keys"),
        registered=frozenset(machine.run("sh", "-c", REGISTERED).splitlines()),
    )


def is_left(machine: Machine, before: Traces) -> bool:
    """Tell whether nothing of ours is left, not even the server's key."""
    now = traces(machine)
    return not (added(now, before) or "dstack-web" in now.keys)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with virtual_machines.cloud(number=9, image=gateway_machines.image()) as opened:
        yield opened


@pytest.fixture
def stack(cloud: Cloud, tmp_path: Path) -> Iterator[Stack]:
    port = free_port()
    more = {
        "DSTACK_BIND": "0.0.0.0",
        "DSTACK_AGENT_URL": f"http://{cloud.wire.here}:{port}",
        "DSTACK_GATEWAY_SSH_PORT": str(free_port()),
    }
    made = Stack(tmp_path / "home", port, free_port(), more)
    prepared.copy_database(made.home / "server" / "pg")
    made.start()
    try:
        yield made
    finally:
        assert made.stop() == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "who"
    folder.mkdir()
    shutil.copy(WHO / "who.py", folder)
    (folder / "serve.dstack.yml").write_text(SERVICE)
    return folder


def let_in(machine: Machine, public_key: str) -> None:
    """Let a key in, as a person does who pastes it beside their own."""
    lines = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPersonsOwnKeyThatStays me\n{public_key}\n"
    folder = machine.cloud.folder / f"{machine.name}.keys"
    folder.write_text(lines)
    machine.run("mkdir", "-p", "-m", "700", "/root/.ssh")
    machine.cloud.docker("cp", str(folder), f"{machine.name}:/root/.ssh/authorized_keys")
    machine.run("chown", "-R", "root:root", "/root/.ssh")


def listens(cloud: Cloud, port: int) -> None:
    """Wait for an sshd."""
    argv = ["ssh-keyscan", "-T", "2", "-p", str(port), cloud.wire.there]
    eventually(
        lambda: subprocess.run(argv, capture_output=True).stdout, seconds=BOOT_SECONDS, what="sshd"
    )


def tables(cloud: Cloud) -> str:
    argv = ["ip", "netns", "exec", cloud.wire.network, "nft", "list", "tables"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def added(now: Traces, before: Traces) -> list[str]:
    """Return what is there now and was not, each in a line."""
    return [
        *sorted(now.files - before.files),
        *sorted(set(now.processes) - set(before.processes)),
        *sorted(now.registered - before.registered),
    ]


def a_gateway_comes_and_goes(machine: Machine, cloud: Cloud, stack: Stack) -> None:
    """What it leaves is nothing, though the agent and its replica stay."""
    before, tables_before = traces(machine), tables(cloud)
    place = ("--domain", "desk.test", "--host", "desk")
    stack.dstack("gateway", "create", *place, "--name", "edge", "-d")

    def state() -> str:
        found = stack.api("GET", "/projects/main/gateways/edge")
        assert found["state"] != "failed", found
        return str(found["state"])

    eventually(lambda: state() == "running", seconds=GATEWAY_SECONDS, every=0.5)
    there = "\n".join(added(traces(machine), before))
    for part in ("/var/lib/dstack/gateway/", "/run/dstack-tunnels-", "dstack-tunnel:", "haproxy"):
        assert part in there
    assert httpx.get(f"http://{cloud.wire.there}/", timeout=10).status_code == 404

    assert "is deleted" in stack.dstack("gateway", "delete", "edge", "-y")
    with contextlib.suppress(AssertionError):
        eventually(lambda: not added(traces(machine), before), seconds=20.0, every=0.5)
    assert added(traces(machine), before) == []
    assert tables(cloud) == tables_before


def test_a_host_serves_restarts_and_is_left_as_it_was(
    cloud: Cloud, stack: Stack, folder: Path
) -> None:
    machine = cloud.boot("desk", "#cloud-config\n{}\n")
    try:
        listens(cloud, 22)
        let_in(machine, stack.api("GET", "/projects/main/hosts")["public_key"])
        before, tables_before = traces(machine), tables(cloud)

        words = ("host", "add", f"root@{cloud.wire.there}", "--name", "desk", "--price", "0.3")
        said = stack.dstack(*words)
        assert "Host desk is ready" in said, said
        assert "SHA256:" in said
        assert "Service is published at" in stack.dstack(*RUN, cwd=folder)
        eventually(lambda: who_answers(stack), seconds=BOOT_SECONDS, what=said)

        a_gateway_comes_and_goes(machine, cloud, stack)

        machine.restart()
        eventually(lambda: who_answers(stack), seconds=BOOT_SECONDS, what=machine.console())
        # Again it is the same host, with the same machine.
        assert "Host desk is ready" in stack.dstack(*words)
        assert len(stack.api("GET", "/projects/main/instances")["items"]) <= 2

        assert "Stopped" in stack.dstack("stop", "who", "-y")
        said = stack.dstack("host", "remove", "desk", "-y")
        assert "nothing of the agent is left there" in said
        after = traces(machine)
        assert added(after, before) == []
        assert tables(cloud) == tables_before
        assert "PersonsOwnKey" in after.keys
        assert "dstack-web" not in after.keys

        # One that is away is removed as well, and its agent leaves it when it comes back.
        let_in(machine, stack.api("GET", "/projects/main/hosts")["public_key"])
        assert "Host desk is ready" in stack.dstack(*words)
        machine.stop()
        said = " ".join(stack.dstack("host", "remove", "desk", "-y").split())
        assert "it is told to end that and to take itself off" in said
        machine.start()
        eventually(lambda: is_left(machine, before), seconds=BOOT_SECONDS, what=machine.console())
        assert "PersonsOwnKey" in traces(machine).keys
        assert stack.api("GET", "/projects/main/hosts/desk")["told_to_leave_at"]
    finally:
        machine.end()


def test_a_host_without_systemd_behind_a_jump_host(
    cloud: Cloud, stack: Stack, folder: Path
) -> None:
    jump = cloud.boot("gate", "#cloud-config\n{}\n")
    machine = cloud.boot("attic", "#cloud-config\n{}\n", init=WITHOUT_SYSTEMD)
    try:
        key = stack.api("GET", "/projects/main/hosts")["public_key"]
        for each, port in ((jump, 22), (machine, 2222)):
            listens(cloud, port)
            let_in(each, key)
        before = traces(machine)

        there = f"root@{cloud.wire.there}"
        words = ("host", "add", f"{there}:2222", "--jump", there, "--name", "attic")
        said = stack.dstack(*words)
        assert "Host attic is ready" in said, said
        assert "cron starts it" in said
        assert "Service is published at" in stack.dstack(*RUN, cwd=folder)
        eventually(lambda: who_answers(stack), seconds=BOOT_SECONDS, what=said)
        machine.restart()
        eventually(lambda: who_answers(stack), seconds=BOOT_SECONDS, what=machine.console())

        assert "nothing of the agent" in stack.dstack("host", "remove", "attic", "-y")
        after = traces(machine)
        assert added(after, before) == []
        assert stack.api("GET", "/projects/main/hosts")["items"] == []
    finally:
        machine.end()
        jump.end()
