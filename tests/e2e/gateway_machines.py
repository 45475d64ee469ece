"""Machines on which gateways start, of clouds and of people: Debian 13 with what the boot would
install, and, since nothing there reaches the world, what pip would fetch."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from apps.instances.boot import gateway_wheel
from tests.integration.instances import virtual_machines
from tests.integration.instances.virtual_machines import Image
from tests.made_once import cache, made_once

SUITE, PYTHON = "trixie", "3.13"
FETCH_SECONDS = 280
PLATFORMS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")
PIP = "[global]\nno-index = true\nfind-links = /opt/wheels\n"
AT = "/opt/wheels"
ROOT = Path(__file__).resolve().parents[2]
# Of a checkout, the folder of the server comes before all others.
TAKEN_FIRST = """\
import sys
from importlib.machinery import PathFinder
from pathlib import Path


class Newer:
    @staticmethod
    def find_spec(name, path=None, target=None):
        here = [str(Path(__file__).parent)]
        return PathFinder.find_spec(name, here) if name == "gateway" else None


sys.meta_path.insert(0, Newer)
"""


def image() -> Image:
    wheels, settings = _wheels()
    return Image(
        suite=SUITE,
        packages=f"{virtual_machines.OF_A_PERSON},haproxy,python3-venv",
        mounts=(f"{wheels}:{AT}:ro", f"{settings}:/etc/pip.conf:ro"),
    )


def newer(folder: Path) -> str:
    """Make what a newer server has for gateways, whose HAProxy has other settings too; return the
    `PYTHONPATH` with which this one takes it for its own."""
    shutil.copytree(ROOT / "gateway", folder / "gateway")
    rules = folder / "gateway/haproxy/rules/process.cfg"
    rules.write_text(f"{rules.read_text()}\n# newer\n")
    (folder / "sitecustomize.py").write_text(TAKEN_FIRST)
    return str(folder)


def _wheels() -> tuple[Path, Path]:
    """Return a folder of what the gateway's wheel needs, fetched once, and pip's settings."""
    needed = gateway_wheel.requirements()
    key = hashlib.sha256(f"{PYTHON} {sorted(needed)}".encode()).hexdigest()[:12]

    def make(fresh: Path) -> None:
        argv = [sys.executable, "-m", "pip", "download", "-q", "--dest", str(fresh)]
        argv += ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
        argv += [word for name in ("cp313", "abi3", "none") for word in ("--abi", name)]
        argv += [word for name in PLATFORMS for word in ("--platform", name)]
        subprocess.run([*argv, *needed], check=True, timeout=FETCH_SECONDS)

    settings = cache() / "pip.conf"
    settings.write_text(PIP)
    return made_once(f"gateway-wheels-{key}", make), settings
