"""The machine of a gateway in a namespace, with the sshd that it boots with, and a way there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from apps.instances.boot import document, keys, relay
from apps.instances.boot.keys import Pair
from dstack_web.relay.link import Link, To
from tests.integration.gateway.namespaces import Host, host
from tests.programs import require_program

ETC = "/etc/dstack-relay"
ASK = (
    "import sys, urllib.request as u\n"
    "print(u.urlopen(sys.argv[1], timeout=2).read(200).decode(), end='')"
)


def until(found: Callable[[], bool], *, seconds: float) -> float:
    """Return after how many seconds that was so."""
    began = time.monotonic()
    while not found():
        assert time.monotonic() - began < seconds, f"not after {seconds:g} s"
        time.sleep(0.05)
    return time.monotonic() - began


@dataclass
class Far:
    """The machine: `to` is what the server knows of it."""

    host: Host
    to: To
    folder: Path

    def asks(self, url: str) -> str:
        """Call from the machine itself; "" where nobody answers."""
        words = self.host.command("python3", "-c", ASK, url)
        ran = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        return ran.stdout if ran.returncode == 0 else ""

    def link(self, door: Path, **changes: object) -> Link:
        name = f"link{len(list(self.folder.glob('link*')))}"
        return Link(replace(self.to, **changes), self.folder / name, door)  # type: ignore[arg-type]


@pytest.fixture
def server_key() -> Pair:
    return keys.new()


@pytest.fixture
def identity() -> Pair:
    return keys.new()


@pytest.fixture
def far(tmp_path: Path, server_key: Pair, identity: Pair) -> Iterator[Far]:
    require_program("ssh", package="openssh-client")
    sshd = require_program("sshd", package="openssh-server")
    told = document.Relay(relay.SSH_PORT, identity.private, server_key.public)
    # Not in pytest's own folder: sshd reads keys as the user, who has to come there.
    folder = Path(tempfile.mkdtemp(prefix="dstack-relay-machine-"))
    folder.chmod(0o755)
    for file in document.relay_files(told):
        path = folder / Path(file["path"]).name
        path.write_text(file["content"].replace(ETC, str(folder)))
        path.chmod(int(file["permissions"], 8))
    with host() as there:
        # As its unit does before it starts sshd. Another test may do the same.
        words = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
        words += ["--shell", "/usr/sbin/nologin", "--password", "*", relay.USER]
        subprocess.run(words, capture_output=True, check=False, timeout=30)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        # What holds anybody's files, as that folder's parent, is no place for keys elsewhere.
        options = ["-o", "StrictModes=no"]
        command = there.command(sshd, "-D", "-e", "-f", str(folder / "sshd_config"), *options)
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, stderr=log, start_new_session=True)
        try:
            yield Far(
                there,
                To(
                    name="far",
                    host=there.far,
                    ssh_port=relay.SSH_PORT,
                    user=relay.USER,
                    host_key=identity.public,
                    key=server_key.private,
                    port=19999,
                ),
                tmp_path,
            )
        finally:
            child.terminate()
            child.wait(20)
            shutil.rmtree(folder)
