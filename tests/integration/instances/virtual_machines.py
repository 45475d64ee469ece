"""Machines as a cloud makes them: systemd and cloud-init of Debian, booted with the user-data that
was asked for. Containers of an engine of the tests' own, in a network of their own that reaches
this machine alone, by a wire between them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.agent.host import users
from tests import programs
from tests.integration.agent.engine_hosts import within
from tests.integration.agent.engines import OwnEngine, await_answer
from tests.made_once import made_once

IMAGE = "test/machine:1"
PACKAGES = (
    "systemd-sysv,dbus,udev,cloud-init,python3,python3-cffi-backend,iproute2,ca-certificates,"
    "openssh-client"
)
# What a machine that people own has besides: ssh lets them in, cron starts what they want.
OF_A_PERSON = f"{PACKAGES},openssh-server,sudo,cron,nftables"
SUITE = "bookworm"
NEEDED = ("dockerd", "docker", "ip", "nsenter")
RIGHTS = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE")
CAP_SYS_RESOURCE = 24
# Of a slow machine; what waits for it has a bound of its own.
BUILD_SECONDS = 600
# The settings of the kernel are read-only there but for those of its own network.
INIT = "mount -t proc proc /mnt && mount --bind /mnt/sys/net /proc/sys/net && umount -l /mnt && "
SYSTEMD = "/lib/systemd/systemd"


@dataclass(frozen=True)
class Wire:
    """A network and the wire to it; each module of tests that runs beside another has a number."""

    number: int = 0

    @property
    def network(self) -> str:
        return f"dstack-cloud{self.number}"

    @property
    def device(self) -> str:
        return f"dst-cloud{self.number}"

    # Addresses for documentation alone (RFC 5737), of this machine and of the other end.
    @property
    def here(self) -> str:
        return f"192.0.2.{213 + 4 * self.number}"

    @property
    def there(self) -> str:
        return f"192.0.2.{214 + 4 * self.number}"


HERE = Wire().here


@dataclass(frozen=True)
class Image:
    """What machines start from; `mounts` are files of this machine that each of them reads. One
    that `has_own_engine` has none at first, and all that installing and running one takes."""

    suite: str = SUITE
    packages: str = PACKAGES
    mounts: tuple[str, ...] = ()
    has_own_engine: bool = False


@dataclass
class Cloud:
    """Where machines run; `folder` has their seeds."""

    engine: OwnEngine
    folder: Path
    wire: Wire = Wire()
    image: Image = Image()

    def docker(self, *words: str, check: bool = True) -> str:
        argv = ["docker", "-H", self.engine.address, *words]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert not check or ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    def boot(self, name: str, user_data: str, *, init: str = SYSTEMD) -> Machine:
        """Boot a machine; without systemd `init` is a shell's word for what runs there."""
        self.docker("rm", "-f", "-v", name, check=False)  # what a failed test left
        seed = Path(tempfile.mkdtemp(dir=self.folder))
        (seed / "user-data").write_text(user_data)
        (seed / "meta-data").write_text(f"instance-id: {name}\nlocal-hostname: {name}\n")
        # Nobody answers for names, at once: what a machine would install is not there either.
        (seed / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        self.docker(
            *("run", "-d", "-t", "--name", name, "--network", "host", *self._engine_words()),
            *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
            *("--tmpfs", "/run", "--tmpfs", "/run/lock", "-e", "container=docker"),
            *("-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"),
            *("-v", f"{seed}/resolv.conf:/etc/resolv.conf:ro"),
            *(word for mount in self.image.mounts for word in ("-v", mount)),
            *("-v", f"{seed}:/var/lib/cloud/seed/nocloud:ro", IMAGE, "sh", "-c"),
            f"{INIT}exec {init}",
        )
        return Machine(self, name)

    def _engine_words(self) -> list[str]:
        """Without an engine of its own a machine has this one, whose containers have its network.
        With one it has all rights, as a container that is `privileged` there must have them, and
        a disk for layers, which cannot lie on its own.
        """
        if self.image.has_own_engine:
            return [*_all_rights(), "--device-cgroup-rule", "a *:* rwm", "-v", "/var/lib/docker"]
        rights = [word for right in RIGHTS for word in ("--cap-add", right)]
        return [*rights, "-v", f"{self.engine.folder}/d.sock:/run/docker.sock"]


def _all_rights() -> list[str]:
    """Return the words for all rights but one that this machine itself may lack."""
    lines = Path("/proc/self/status").read_text().splitlines()
    ours = next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:"))
    drop = [] if ours >> CAP_SYS_RESOURCE & 1 else ["--cap-drop", "SYS_RESOURCE"]
    return ["--cap-add", "ALL", *drop]


@dataclass
class Machine:
    cloud: Cloud
    name: str

    def console(self) -> str:
        return self.cloud.docker("logs", self.name)

    def run(self, *words: str) -> str:
        """Run a command there as root; return what it wrote, whatever came of it."""
        return self.cloud.docker("exec", self.name, *words, check=False)

    def restart(self) -> None:
        self.cloud.docker("restart", "-t", "5", self.name)

    def stop(self) -> None:
        self.cloud.docker("stop", "-t", "5", self.name)

    def start(self) -> None:
        self.cloud.docker("start", self.name)

    @property
    def is_up(self) -> bool:
        return self.cloud.docker("inspect", "-f", "{{.State.Running}}", self.name).strip() == "true"

    def end(self) -> None:
        self.cloud.docker("rm", "-f", "-v", self.name)


@dataclass
class EngineOfACloud(OwnEngine):
    network: str = ""

    def start(self) -> None:
        argv = [*within(self.network), "dockerd", "--data-root", f"{self.folder}/data"]
        argv += ["--exec-root", f"{self.folder}/exec", "-p", f"{self.folder}/pid"]
        argv += ["-H", self.address, "--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        await_answer(self.address, self.folder / "log")


@contextlib.contextmanager
def cloud(number: int = 0, image: Image = Image()) -> Iterator[Cloud]:
    """Yield an empty one; skip where none can be."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing or not users.can_isolate():
        pytest.skip(f"needs root and {missing or 'namespaces'}")
    archive = root_archive(image)
    folder = Path(tempfile.mkdtemp(prefix="dstv", dir="/tmp"))
    wire = Wire(number)
    engine = EngineOfACloud(folder, "none", network=wire.network)
    # Another run of the tests may have this wire.
    lock = os.open(f"/tmp/dstack-web-tests.{wire.device}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _lay(wire)
        engine.start()
        made = Cloud(engine, folder, wire, image)
        made.docker("import", str(archive), IMAGE)
        yield made
        for name in made.docker("ps", "-aq").split():
            made.docker("rm", "-f", "-v", name)
    finally:
        if engine.is_running:
            engine.stop()
        subprocess.run(["umount", f"{folder}/exec/netns/default"], capture_output=True)
        _take_up(wire)
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _take_up(wire: Wire) -> None:
    # With its namespace the device goes some time later: the next one of its name may come before.
    for what in (["link", "del", wire.device], ["netns", "del", wire.network]):
        subprocess.run(["ip", *what], capture_output=True)


def _lay(wire: Wire) -> None:
    _take_up(wire)
    for command in (
        f"ip netns add {wire.network}",
        f"ip link add {wire.device} type veth peer name eth0 netns {wire.network}",
        f"ip addr add {wire.here}/30 dev {wire.device}",
        f"ip link set {wire.device} up",
        f"ip -n {wire.network} addr add {wire.there}/30 dev eth0",
        f"ip -n {wire.network} link set eth0 up",
        f"ip -n {wire.network} link set lo up",
        f"ip -n {wire.network} route add default via {wire.here}",
    ):
        subprocess.run(command.split(), check=True)


def root_archive(image: Image) -> Path:
    """Return the files of such a machine."""
    program = programs.require_program("mmdebstrap", package="mmdebstrap")
    key = hashlib.sha256(f"{image.suite} {image.packages}".encode()).hexdigest()[:12]

    def make(fresh: Path) -> None:
        argv = [program, "--quiet", "--variant=minbase", f"--include={image.packages}"]
        argv += [image.suite, str(fresh)]
        subprocess.run(argv, check=True, capture_output=True, timeout=BUILD_SECONDS)

    return made_once(f"machine-{key}.tar", make)
