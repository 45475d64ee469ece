"""Takes the agent of dstack-web off this machine, as root, with all that it runs and ever wrote.

It needs nothing: `sudo python3 /opt/dstack-agent/uninstall.py`. The public key that the server was
let in by stands in let-in.json: {"user", "key"}. The server sends that as JSON in base64, too, and
"instances": the agent of an instance that is none of these is another server's, and stays.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import typing

PROGRAM, SETTINGS, HOME = "/opt/dstack-agent", "/etc/dstack-agent", "/var/lib/dstack"
UNIT, WAY = "dstack-agent.service", "dstack-way-home.service"
PID = "/run/dstack-agent.pid"
# Which user each replica is: a file for each, of all agents of the machine, and a lock.
USERS = "/run/dstack-agent-users"
FILES = (
    f"/etc/systemd/system/{UNIT}",
    f"/etc/systemd/system/multi-user.target.wants/{UNIT}",
    f"/etc/systemd/system/{WAY}",
    f"/etc/systemd/system/multi-user.target.wants/{WAY}",
    "/etc/cron.d/dstack-agent",
    "/var/log/dstack-agent.log",
    PID,
)
STOP_SECONDS = 30.0


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("this needs root: run it with sudo")
    asked = json.loads(base64.b64decode(sys.argv[1])) if len(sys.argv) > 1 else let_in()
    left = [] if is_of_another(asked.get("instances")) else take_away()
    forget_key(asked)
    print("dstack:left " + json.dumps(left))


def let_in() -> dict[str, typing.Any]:
    try:
        with open(f"{SETTINGS}/let-in.json") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


def is_of_another(instances: typing.Optional[list[str]]) -> bool:
    if instances is None:
        return False
    try:
        with open(f"{SETTINGS}/config.json") as file:
            return str(json.load(file).get("instance_id")) not in instances
    except (OSError, ValueError, AttributeError):
        return False


def take_away() -> list[str]:
    """Return what is left."""
    has_systemd = os.path.isdir("/run/systemd/system")
    if has_systemd:
        quietly("systemctl", "disable", "--now", UNIT)
        quietly("systemctl", "disable", "--now", WAY)
    stop_supervisor()
    table = nft_table()
    if os.path.exists(f"{PROGRAM}/agent.pyz") and os.path.isdir(HOME):
        quietly(f"{PROGRAM}/python", f"{PROGRAM}/agent.pyz", "--home", HOME, "--end")
    forget_gateway()
    if table:
        quietly("nft", "delete", "table", "ip", table)
    for path in FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if has_systemd:
        quietly("systemctl", "daemon-reload")
        quietly("systemctl", "reset-failed", UNIT)
        quietly("systemctl", "reset-failed", WAY)
    for folder in (HOME, SETTINGS, PROGRAM):
        shutil.rmtree(folder, ignore_errors=True)
    forget_users()
    return [path for path in (HOME, SETTINGS, PROGRAM, *FILES) if os.path.exists(path)]


def forget_gateway() -> None:
    """Have a gateway that ran here take away what it made elsewhere: a user, a folder in /run."""
    python = f"{HOME}/gateway/current/venv/bin/python"
    if os.path.exists(python):
        # Isolated: root runs nobody's `gateway` in the folder in which a person calls this.
        quietly(python, "-I", "-m", "gateway.tunnels", f"{HOME}/gateway/home")


def forget_users() -> None:
    """Give up the users of replicas that are gone; what another agent holds stays."""
    with contextlib.suppress(OSError), open(f"{USERS}/lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in set(os.listdir(USERS)) - {"lock"}:
            with open(f"{USERS}/{name}") as file:
                is_held = os.path.exists(file.read())
            if not is_held:
                os.unlink(f"{USERS}/{name}")
        if os.listdir(USERS) == ["lock"]:
            shutil.rmtree(USERS)


def stop_supervisor() -> None:
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


def nft_table() -> str:
    """Return the agent's table of packet rules, which it takes away itself where it can."""
    try:
        with open(f"{HOME}/agent.json") as file:
            return f"dstack_{str(json.load(file)['home_id'])[:8]}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def forget_key(asked: dict[str, typing.Any]) -> None:
    """Take the server's own public key out of who may come in; what else stands there stays."""
    if not asked.get("key"):
        return
    with contextlib.suppress(OSError, KeyError, TypeError):
        path = os.path.join(pwd.getpwnam(asked["user"]).pw_dir, ".ssh", "authorized_keys")
        # A link may lead anywhere, and we are root.
        with os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+") as file:
            lines = file.readlines()
            kept = [line for line in lines if asked["key"] not in line.split()]
            if kept != lines:
                file.seek(0)
                file.write("".join(kept))
                file.truncate()


def quietly(*words: str) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


main()
