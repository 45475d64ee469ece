"""The script of a check, run here: whose word it takes for being root."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from apps.hosts.work import findings, scripts

ASKS = "echo 'sudo: a password is required' >&2; exit 1"
LETS = '[ "$1" = -n ] || exit 9; shift; exec "$@"'


def checked(folder: Path, *, uid: int, sudo: str = "") -> list[findings.Step]:
    """Run it as somebody with this number, where `sudo` is a program that does so."""
    programs = {"id": f"echo {uid}", **({"sudo": sudo} if sudo else {})}
    for name, does in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    # Nothing else is there, so that no sudo of this machine is found.
    for name in ("uname", "python3", "true"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    ran = subprocess.run(
        ["/bin/sh", "-s"],
        input=scripts.check({}),
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return findings.steps(findings.read(ran.stdout), user="ann", now=0.0)


@pytest.mark.parametrize(
    ("uid", "sudo", "said"),
    [
        (0, "", "Logs in as root."),
        (1000, LETS, "ann becomes root by sudo, without a password."),
        (1000, ASKS, "sudo asks ann for a password there: log in as root, or do without one by a"),
        (1000, "", "ann is not root, and sudo is missing there: log in as root, or install sudo."),
    ],
)
def test_says_how_it_becomes_root(tmp_path: Path, uid: int, sudo: str, said: str) -> None:
    steps = {step.name: step for step in checked(tmp_path, uid=uid, sudo=sudo)}

    assert steps["Root"].text.startswith(said)
    assert (steps["Root"].state == findings.OK) == (uid == 0 or sudo == LETS)
    assert "Processors and memory" in steps
