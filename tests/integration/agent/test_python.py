"""A replica's own virtual environment; the agent under other Pythons and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent import build, wire
from tests.fakes.control_plane import ControlPlane
from tests.integration.agent.running import SERVE, RunningAgent, archive, workload

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")


@pytest.fixture
def wheel() -> Iterator[Path]:
    """The smallest package that pip installs without a network, where isolated replicas see it."""
    place = Path(tempfile.mkdtemp(dir="/var/lib" if os.geteuid() == 0 else None))
    place.chmod(0o755)
    path = place / "greeting-1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("greeting.py", "def main():\n    print('hello from the wheel')\n")
        file.writestr("greeting-1.0.dist-info/METADATA", about)
        file.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        entry = "[console_scripts]\ngreet = greeting:main\n"
        file.writestr("greeting-1.0.dist-info/entry_points.txt", entry)
        file.writestr("greeting-1.0.dist-info/RECORD", "")
    path.chmod(0o644)
    yield path
    shutil.rmtree(place)


def test_installs_into_the_replicas_own_environment(
    control: ControlPlane, agent: RunningAgent, wheel: Path
) -> None:
    install = f"pip install --quiet --no-index '{wheel}'"
    others = [f"{pip} --version" for pip in ("pip", "pip3", "python -m pip", "python3 -m pip")]
    control.assign(workload(install, "greet", *others))

    report = control.wait_for("w1", state=wire.EXITED, seconds=60)

    assert report.exit_code == 0, report.last_lines
    assert report.last_lines[0] == "hello from the wheel"
    assert len(report.last_lines) == 1 + len(others)
    own = str(agent.folder("w1") / "venv")
    assert all(own in line for line in report.last_lines[1:])


def test_runs_two_pips_at_once(control: ControlPlane, agent: RunningAgent, wheel: Path) -> None:
    install = f"pip install --quiet --no-index '{wheel}'"
    control.assign(workload(f"{install} & python -m pip --version", "wait", "greet"))

    report = control.wait_for("w1", state=wire.EXITED, seconds=60)

    assert report.last_lines[-1] == "hello from the wheel"


def test_gives_the_python_that_was_asked_for(control: ControlPlane, agent: RunningAgent) -> None:
    version = "{}.{}".format(*sys.version_info)
    control.assign(
        workload("python --version", "python -c 'import sys; print(sys.prefix)'", python=version)
    )

    report = control.wait_for("w1", state=wire.EXITED)

    assert report.last_lines[0].startswith(f"Python {version}.")
    assert report.last_lines[1] == str(agent.folder("w1") / "venv")


def other_pythons() -> list[str]:
    """Pythons on this machine that the agent promises to run on and this test does not run on."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders += Path("~/.pyenv/versions").expanduser().glob("3.*/bin")
    found = {}
    for minor in range(9, 20):
        paths = [folder / f"python3.{minor}" for folder in folders]
        works = [p for p in paths if p.exists() and _runs(p)]
        if works and minor != sys.version_info.minor:
            found[minor] = str(works[0])
    return list(found.values())


def _runs(path: Path) -> bool:
    return subprocess.run([path, "-c", ""], capture_output=True, timeout=20).returncode == 0


@pytest.mark.parametrize("python", other_pythons())
def test_runs_as_one_file_on_other_pythons(
    control: ControlPlane, stopped_agent: RunningAgent, place: Path, python: str
) -> None:
    stopped_agent.argv = [python, str(build.build(place / "agent.pyz"))]
    stopped_agent.start()
    control.blobs["b" * 64] = archive({"a/b": "c"})

    control.assign(workload(SERVE))

    assert control.wait_for("w1", ready=True).address
    assert stopped_agent.stop() == 0


@pytest.mark.skipif(
    os.geteuid() != 0 or SYSTEM_PYTHON is None, reason="needs root and a Python for all"
)
def test_runs_as_an_ordinary_user(
    control: ControlPlane, stopped_agent: RunningAgent, place: Path
) -> None:
    place.chmod(0o777)
    stopped_agent.argv = [str(SYSTEM_PYTHON), str(build.build(place / "agent.pyz"))]
    stopped_agent.options = {"user": 65534, "group": 65534, "extra_groups": []}
    stopped_agent.start()

    control.assign(workload("id -u", SERVE))

    control.wait_for("w1", ready=True)
    assert control.wait(lambda: control.lines("w1"))[0] == "65534"
    assert "they are not isolated" in stopped_agent.log.read_text()
    control.forget("w1")
    control.wait(lambda: not stopped_agent.folder("w1").exists())


def test_builds_the_same_file_from_the_same_source(tmp_path: Path) -> None:
    first = build.build(tmp_path / "one.pyz")

    copied = subprocess.run(
        [sys.executable, first, "--help"], capture_output=True, timeout=20, cwd=tmp_path
    )

    assert copied.returncode == 0
    assert build.build(tmp_path / "two.pyz").read_bytes() == first.read_bytes()
