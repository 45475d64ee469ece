"""What the boot script has a machine install, command by command.

The script is the real one, with its folders below one of the test's own; what it calls to change a
machine notes that it was called, and does as much of it as the script looks at.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from apps.instances.boot import document

NVIDIA = "https://nvidia.github.io/libnvidia-container"
FOLDERS = ("/opt/", "/etc/", "/usr/share/", "/var/log/")
TOOLS = ("sh", "cat", "grep", "touch", "chmod", "ln", "env")
NOTE = 'echo "$(basename "$0") $*" >>"$CALLS"\n'
# What comes with a package, as far as the script asks for it.
INSTALL = """\
[ -z "$FAILS" ] || exit 100
for word in "$@"; do
  case $word in
    docker.io|docker) new=dockerd ;;
    nvidia-container-toolkit) new=nvidia-ctk ;;
    haproxy) new=haproxy ;;
    openssh-server) new=sshd ;;
    openssh-client*) new=ssh-keygen ;;
    *) continue ;;
  esac
  ln -sf "$FAKES/noted" "$FAKES/$new"
done
"""
APT = "-q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"


@pytest.fixture(scope="module")
def nvidia() -> Iterator[str]:
    """Where NVIDIA's key and its list of packages for dnf are had."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"of {self.path}\n".encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@dataclass
class Machine:
    """A machine with a package manager, and what is installed there."""

    folder: Path
    nvidia: str
    fails: str = ""

    def has(self, *names: str) -> None:
        for name in names:
            (self.folder / "bin" / name).unlink(missing_ok=True)
            (self.folder / "bin" / name).symlink_to("noted")

    def fake(self, name: str, more: str = "") -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{NOTE}{more}")
        path.chmod(0o755)

    def at(self, path: str) -> Path:
        return Path(f"{self.folder}/root{path}")

    def boot(self, *needs: str) -> tuple[int, list[str], str]:
        """Run the script; return its code, what it called and what it said."""
        text = (document.FOLDER / "boot.sh").read_text().replace(NVIDIA, self.nvidia)
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.folder}/root{folder}")
        calls = self.folder / "calls"
        calls.write_text("")
        fakes = self.folder / "bin"
        env = {"PATH": str(fakes), "CALLS": str(calls), "FAKES": str(fakes), "FAILS": self.fails}
        ran = subprocess.run(
            [str(fakes / "sh"), "-c", text, "boot.sh", *needs],
            env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ran.stderr == ""
        called = calls.read_text().replace(f"{self.folder}/root", "").replace(self.nvidia, "NV")
        return ran.returncode, called.splitlines(), ran.stdout


@pytest.fixture(params=["apt-get", "dnf"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, nvidia: str) -> Machine:
    made = Machine(tmp_path, nvidia)
    (tmp_path / "bin").mkdir()
    for folder in (*FOLDERS, "/etc/apt/sources.list.d", "/etc/yum.repos.d", "/usr/share/keyrings"):
        made.at(folder).mkdir(parents=True, exist_ok=True)
    for name in (*TOOLS, "basename"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    made.fake("noted")
    made.fake(request.param, INSTALL)
    made.fake("systemctl")
    made.fake("python3", f'case $1 in */fetch.py) exec {sys.executable} "$@" ;; esac\n')
    made.has("ssh-keygen")
    made.at("/opt/dstack-agent").mkdir()
    shutil.copy(document.FOLDER / "fetch.py", made.at("/opt/dstack-agent"))
    made.at("/opt/dstack-agent/agent.pyz").write_text("there already")
    return made


def installs(machine: Machine, *packages: str) -> list[str]:
    named = " ".join(packages)
    told = f"python3 /opt/dstack-agent/fetch.py --tell installing {named}"
    if (machine.folder / "bin" / "dnf").exists():
        return [told, f"dnf -q -y install {named}"]
    return [
        told,
        f"apt-get {APT} update",
        f"apt-get {APT} install -y --no-install-recommends {named}",
    ]


def is_apt(machine: Machine) -> bool:
    return (machine.folder / "bin" / "apt-get").exists()


def engine(machine: Machine) -> list[str]:
    return ["docker.io", "iptables"] if is_apt(machine) else ["docker"]


def without_looks(called: list[str]) -> list[str]:
    return [line for line in called if not line.startswith("python3 -c")]


ENABLE = "systemctl enable --now docker"


def test_installs_nothing_that_nobody_needs(machine: Machine) -> None:
    code, called, said = machine.boot()

    assert (code, without_looks(called), said) == (0, [], "")


def test_installs_the_engine_where_there_is_none(machine: Machine) -> None:
    code, called, _ = machine.boot("docker")
    assert (code, without_looks(called)) == (0, [*installs(machine, *engine(machine)), ENABLE])

    assert without_looks(machine.boot("docker")[1]) == [ENABLE], "the second time"


def test_sets_the_engine_up_for_gpus_after_it_is_there(machine: Machine) -> None:
    code, called, _ = machine.boot("docker", "nvidia")

    key, repo = "/usr/share/keyrings/nvidia-container-toolkit.asc", "nvidia-container-toolkit.repo"
    fetched = (
        f"NV/gpgkey {key}" if is_apt(machine) else f"NV/stable/rpm/{repo} /etc/yum.repos.d/{repo}"
    )
    assert code == 0
    assert without_looks(called) == [
        *installs(machine, *engine(machine)),
        ENABLE,
        f"python3 /opt/dstack-agent/fetch.py {fetched}",
        *installs(machine, "nvidia-container-toolkit"),
        "nvidia-ctk runtime configure --runtime=docker",
        "python3 /opt/dstack-agent/fetch.py --cgroupfs /etc/docker/daemon.json",
        "systemctl restart docker",
    ]
    told = json.loads(machine.at("/etc/docker/daemon.json").read_text())
    assert told["exec-opts"] == ["native.cgroupdriver=cgroupfs"]
    if is_apt(machine):
        assert machine.at(key).read_text() == "of /gpgkey\n"
        source = machine.at("/etc/apt/sources.list.d/nvidia-container-toolkit.list").read_text()
        assert source.endswith(f"{key}] {machine.nvidia}/stable/deb/$(ARCH) /\n")
    assert without_looks(machine.boot("docker", "nvidia")[1]) == [ENABLE], "the second time"


def test_takes_the_toolkit_that_an_image_brings(machine: Machine) -> None:
    machine.has("dockerd", "nvidia-ctk")

    assert without_looks(machine.boot("docker", "nvidia")[1]) == [
        ENABLE,
        "nvidia-ctk runtime configure --runtime=docker",
        "python3 /opt/dstack-agent/fetch.py --cgroupfs /etc/docker/daemon.json",
        "systemctl restart docker",
    ]


def test_says_what_it_could_not_install_and_goes_on(machine: Machine) -> None:
    machine.fails = "yes"

    code, called, said = machine.boot("docker", "nvidia")

    assert code == 0, "the agent tells whoever needs it"
    assert f"dstack-web: could not install {' '.join(engine(machine))}: see " in said
    assert ENABLE not in called
    assert not any("nvidia" in line for line in called)


def test_needs_a_python_and_says_so(machine: Machine) -> None:
    machine.fails = "yes"
    (machine.folder / "bin" / "python3").unlink()

    code, _, said = machine.boot("docker")

    assert code == 1
    assert "dstack-web: could not install python3: see " in said
