"""A real container engine of the tests' own: its own data, socket and bridge, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.agent.docker.engine import Engine, EngineAway

START_SECONDS = 30.0
IMAGE = "test/busybox:1"
# What a user would run there; busybox has no Python.
SERVE = "httpd -f -p $PORT"


@dataclass
class OwnEngine:
    """An engine that a test may stop, kill and start again; `address` is its DOCKER_HOST."""

    folder: Path
    bridge: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/d.sock"

    def start(self) -> None:
        folder = self.folder
        argv = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
        argv += ["-p", f"{folder}/pid", "-H", self.address, f"--bridge={self.bridge}"]
        argv += ["--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        (folder / "pid").unlink(missing_ok=True)
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        await_answer(self.address, folder / "log")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by SIGTERM with its containers, by SIGKILL without them."""
        assert self.process is not None
        self.process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.process.kill()
        self.process.wait()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@contextlib.contextmanager
def running_engine() -> Iterator[str]:
    """Yield DOCKER_HOST of an engine with IMAGE in it; skip where none can run."""
    with own_engine() as engine:
        yield engine.address


@contextlib.contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """Yield an engine with IMAGE in it; skip where none can run."""
    missing = [name for name in ("dockerd", "busybox", "ip", "docker") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"a container engine of our own needs root and {missing or 'nothing else'}")
    # Not pytest's folder: the path of a socket must stay short.
    folder = Path(tempfile.mkdtemp(prefix="dsta", dir="/tmp"))
    try:
        with _bridge() as bridge:
            engine = OwnEngine(folder, bridge)
            engine.start()
            try:
                change = 'CMD ["sh", "-c", "echo own command of the image; exec sleep 600"]'
                make_image(engine.address, IMAGE, change)
                yield engine
            finally:
                _end(engine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end(engine: OwnEngine) -> None:
    if not engine.is_running:
        engine.start()
    _remove_containers(engine.address)
    engine.stop()
    subprocess.run(["umount", f"{engine.folder}/exec/netns/default"], capture_output=True)


@contextlib.contextmanager
def _bridge() -> Iterator[str]:
    """A bridge of our own: another engine of this machine may use docker0."""
    name, subnet = f"dsta{os.getpid() % 100000}", 20 + os.getpid() % 200
    _run("ip", "link", "add", "name", name, "type", "bridge")
    try:
        _run("ip", "address", "add", f"10.215.{subnet}.1/24", "dev", name)
        _run("ip", "link", "set", name, "up")
        yield name
    finally:
        _run("ip", "link", "delete", name)


def await_answer(address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(EngineAway):
            Engine(address).call("GET", "/info")
            return
        time.sleep(0.05)
    pytest.skip(f"dockerd does not start here: {log.read_text()[-500:]}")


def make_image(
    address: str,
    name: str,
    *changes: str,
    files: dict[str, str] | None = None,
    programs: Collection[str] | None = None,
) -> None:
    """Import an image of busybox with all its programs, or those named, and with more files.

    `changes` are lines of a Dockerfile. What begins with #! can be run.
    """
    with tempfile.TemporaryDirectory(prefix="dsta-image") as folder:
        root = Path(folder) / "root"
        for each in ("bin", "tmp", "etc", "root"):
            (root / each).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        busybox = shutil.which("busybox") or ""
        shutil.copy(busybox, root / "bin" / "busybox")
        for program in subprocess.check_output([busybox, "--list"], text=True).split():
            if program != "busybox" and (programs is None or program in programs):
                (root / "bin" / program).symlink_to("busybox")
        for path, text in (files or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            (root / path).chmod(0o755 if text.startswith("#!") else 0o644)
        archive = Path(folder) / "image.tar"
        _run("tar", "-C", str(root), "--owner=0", "--group=0", "-cf", str(archive), ".")
        options = [word for change in ("ENV PATH=/bin", *changes) for word in ("-c", change)]
        _run("docker", "-H", address, "import", *options, str(archive), name)


def _remove_containers(address: str) -> None:
    engine = Engine(address)
    for container in engine.call("GET", "/containers/json", query={"all": 1}):
        engine.call("DELETE", f"/containers/{container['Id']}", query={"force": 1, "v": 1})
    for network in engine.call("GET", "/networks"):
        if network["Name"] not in ("bridge", "host", "none"):
            engine.call("DELETE", f"/networks/{network['Id']}")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
