"""A real container engine of the tests' own: its own data, socket and bridge, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.engine import Engine, EngineAway

START_SECONDS = 30.0
IMAGE = "test/busybox:1"
# What a user would run there; busybox has no Python.
SERVE = "httpd -f -p $PORT"


@contextlib.contextmanager
def running_engine() -> Iterator[str]:
    """Yield DOCKER_HOST of an engine with IMAGE in it; skip where none can run."""
    missing = [name for name in ("dockerd", "busybox", "ip", "docker") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"a container engine of our own needs root and {missing or 'nothing else'}")
    # Not pytest's folder: the path of a socket must stay short.
    folder = Path(tempfile.mkdtemp(prefix="dsta", dir="/tmp"))
    address = f"unix://{folder}/d.sock"
    try:
        with _bridge() as bridge, _dockerd(folder, bridge, address):
            _import_image(folder, address)
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _bridge() -> Iterator[str]:
    """A bridge of our own: another engine of this machine may use docker0."""
    name, subnet = f"dsta{os.getpid() % 100000}", 20 + os.getpid() % 200
    _run("ip", "link", "add", "name", name, "type", "bridge")
    try:
        _run("ip", "address", "add", f"10.213.{subnet}.1/24", "dev", name)
        _run("ip", "link", "set", name, "up")
        yield name
    finally:
        _run("ip", "link", "delete", name)


@contextlib.contextmanager
def _dockerd(folder: Path, bridge: str, address: str) -> Iterator[None]:
    argv = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    argv += ["-p", f"{folder}/pid", "-H", address, f"--bridge={bridge}"]
    argv += ["--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        _await_answer(address, folder / "log")
        yield
        _remove_containers(address)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()
        subprocess.run(["umount", f"{folder}/exec/netns/default"], capture_output=True)


def _await_answer(address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(EngineAway):
            Engine(address).call("GET", "/info")
            return
        time.sleep(0.05)
    pytest.skip(f"dockerd does not start here: {log.read_text()[-500:]}")


def _import_image(folder: Path, address: str) -> None:
    root = folder / "image"
    (root / "bin").mkdir(parents=True)
    for name in ("tmp", "etc", "root"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    busybox = shutil.which("busybox") or ""
    shutil.copy(busybox, root / "bin" / "busybox")
    for program in subprocess.check_output([busybox, "--list"], text=True).split():
        if program != "busybox":
            (root / "bin" / program).symlink_to("busybox")
    archive = folder / "image.tar"
    _run("tar", "-C", str(root), "-cf", str(archive), ".")
    change = 'CMD ["sh", "-c", "echo own command of the image; exec sleep 600"]'
    _run(
        "docker", "-H", address, "import", "-c", change, "-c", "ENV PATH=/bin", str(archive), IMAGE
    )


def _remove_containers(address: str) -> None:
    engine = Engine(address)
    for container in engine.call("GET", "/containers/json", query={"all": 1}):
        engine.call("DELETE", f"/containers/{container['Id']}", query={"force": 1, "v": 1})


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
