"""Installs the agent on a host, as root. Again, it brings it up to date.

Standard input is JSON in base64: `files` (path, mode, content in base64), the interpreter `python`,
`instance_id`, whether `systemd` runs, where the server is `called`, whether the files have a way
there (`has_way`), and the `enrolment` of an agent that has none yet.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import typing

PROGRAM, SETTINGS, HOME = "/opt/dstack-agent", "/etc/dstack-agent", "/var/lib/dstack"
UNIT, CRON = "dstack-agent.service", "/etc/cron.d/dstack-agent"
WAY = "dstack-way-home.service"
WAY_FILES = (
    f"/etc/systemd/system/{WAY}",
    f"{PROGRAM}/way-home.sh",
    f"{SETTINGS}/way-home.key",
    f"{SETTINGS}/way-home.known",
)
PID = "/run/dstack-agent.pid"
STOP_SECONDS = 30.0
EVERY_START = f"@reboot root /bin/sh {PROGRAM}/supervise.sh\n"


def main(asked: dict[str, typing.Any]) -> str:
    """Return what starts the agent after the host did: systemd, cron or nobody."""
    for folder, mode in ((PROGRAM, 0o755), (SETTINGS, 0o700)):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, mode)
    stop(asked["systemd"])
    if installed_for() not in ("", asked["instance_id"]):
        clear()
    if not asked["has_way"]:
        forget_way(asked["systemd"])
    for file in asked["files"]:
        write(file["path"], base64.b64decode(file["content"]), file["mode"])
    link(asked["python"])
    call(asked["called"])
    if asked["enrolment"] is not None and not os.path.exists(f"{SETTINGS}/config.json"):
        write(f"{SETTINGS}/enrolment.json", json.dumps(asked["enrolment"]).encode(), 0o600)
    return started(asked["systemd"], asked["has_way"])


def forget_way(has_systemd: bool) -> None:
    if has_systemd:
        quietly("systemctl", "disable", "--now", WAY)
    for path in WAY_FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def call(server: dict[str, str]) -> None:
    """Have an agent that is installed already call the server there."""
    path = f"{SETTINGS}/config.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        with open(path) as file:
            known = json.load(file)
        if {**known, **server} != known:
            write(path, json.dumps({**known, **server}).encode(), 0o600)


def installed_for() -> str:
    try:
        with open(f"{SETTINGS}/config.json") as file:
            return str(json.load(file).get("instance_id") or "unknown")
    except (OSError, ValueError, AttributeError):
        return ""


def stop(has_systemd: bool) -> None:
    if has_systemd:
        quietly("systemctl", "stop", UNIT)
    with contextlib.suppress(OSError, ValueError):
        with open(PID) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline") as file:
            if "supervise.sh" not in file.read():
                return
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        while os.path.exists(PID) and time.monotonic() < until:
            time.sleep(0.1)


def clear() -> None:
    """Take away what the agent of another instance left."""
    if os.path.exists(f"{PROGRAM}/agent.pyz"):
        quietly(sys.executable, f"{PROGRAM}/agent.pyz", "--home", HOME, "--end")
    shutil.rmtree(HOME, ignore_errors=True)
    for name in ("config.json", "enrolment.json"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{SETTINGS}/{name}")


def write(path: str, content: bytes, mode: int) -> None:
    fresh = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    os.chmod(fresh, mode)
    os.replace(fresh, path)


def link(python: str) -> None:
    """The interpreter has one name here, whatever it is called."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{PROGRAM}/python")
    os.symlink(python, f"{PROGRAM}/python")


def started(has_systemd: bool, has_way: bool) -> str:
    if has_systemd:
        units = (WAY, UNIT) if has_way else (UNIT,)
        for words in (("daemon-reload",), ("enable", *units), ("restart", "--no-block", *units)):
            subprocess.run(["systemctl", *words], check=True, stdin=subprocess.DEVNULL)
        return "systemd"
    has_cron = os.path.isdir(os.path.dirname(CRON))
    if has_cron:
        write(CRON, EVERY_START.encode(), 0o644)
    with open(os.devnull, "r+b") as nothing:
        subprocess.Popen(
            ["/bin/sh", f"{PROGRAM}/supervise.sh"],
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
            cwd="/",
        )
    return "cron" if has_cron else "nobody"


def quietly(*words: str) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


print("dstack:started " + main(json.loads(base64.b64decode(sys.stdin.read()))))
