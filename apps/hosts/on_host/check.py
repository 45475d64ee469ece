"""Says what a host has, as JSON in one line. Its second argument is what is asked, in base64."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import typing
import urllib.error
import urllib.request

CALL_SECONDS, GPU_SECONDS, ENGINE_SECONDS = 8.0, 15.0, 5.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = re.compile(r"python(3\.\d+)")
DOCKER = "/var/run/docker.sock"


def main(asked: dict[str, typing.Any]) -> dict[str, typing.Any]:
    socket.setdefaulttimeout(CALL_SECONDS)
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "disk_mib": shutil.disk_usage("/var/lib").total // 2**20,
        "free_mib": shutil.disk_usage("/var/lib").free // 2**20,
        "arch": "arm" if os.uname().machine in ("aarch64", "arm64") else "x86",
        "gpus": gpus(asked.get("gpu_arguments") or []),
        "images": images(),
        "pythons": pythons(),
        "shells": [name for name in ("bash", "sh") if shutil.which(name, path=PATH)],
        "systemd": os.path.isdir("/run/systemd/system"),
        "ssh": bool(shutil.which("ssh", path=PATH) and shutil.which("ssh-keygen", path=PATH)),
        "server": server(asked["url"], asked.get("authority")) if asked.get("url") else None,
        "gateways": {f"{h}:{p}": tunnel(str(h), int(p)) for h, p in asked.get("gateways") or []},
        "installed_for": installed_for(),
        "time": time.time(),
    }


def gpus(ways: list[list[str]]) -> typing.Optional[str]:
    """Return what nvidia-smi says to the first way of asking that it knows, None where there is
    none. Older ones do not know each field."""
    program = shutil.which("nvidia-smi", path=PATH)
    if program is None:
        return None
    answer = ""
    for arguments in ways:
        answer = _asked(program, arguments)
        if "is not a valid field" not in answer:
            break
    return answer


def _asked(program: str, arguments: list[str]) -> str:
    try:
        ran = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=GPU_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {GPU_SECONDS:g} s"
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    return ran.stdout.decode("utf-8", "replace")[:20000]


def images() -> typing.Optional[list[str]]:
    """Return the names of the images that Docker has, None where no Docker answers."""
    connection = http.client.HTTPConnection("localhost", timeout=ENGINE_SECONDS)
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.settimeout(ENGINE_SECONDS)
            unix.connect(DOCKER)
            connection.sock = unix
            connection.request("GET", "/images/json")
            answer = connection.getresponse()
            found = json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    if found is None:
        return None
    names = {n for one in found for key in ("RepoTags", "RepoDigests") for n in one.get(key) or ()}
    return sorted(n for n in names if not n.startswith("<none>") and len(n) <= 600)[:500]


def pythons() -> list[str]:
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for folder in PATH.split(":"):
        with contextlib.suppress(OSError):
            found |= {match[1] for name in os.listdir(folder) if (match := PYTHON.fullmatch(name))}
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])[::-1]


def server(url: str, authority: typing.Optional[str]) -> str:
    """Return why the server is not reached there, "" where it is. What knows it is that authority
    alone, where there is one."""
    asked = urllib.request.Request(f"{url.rstrip('/')}/healthz")
    try:
        known_by = ssl.create_default_context(cadata=authority) if authority else None
        with urllib.request.urlopen(asked, timeout=CALL_SECONDS, context=known_by) as answer:
            answer.read(1000)
    except urllib.error.HTTPError as error:
        return "" if error.code < 600 else str(error.code)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            said = error.reason.verify_message
            return f"its certificate is refused: {said} (see DSTACK_AGENT_CA)"
        return str(error.reason)[:200]
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error)[:200] or type(error).__name__
    return ""


def tunnel(host: str, port: int) -> str:
    """Return why nobody speaks ssh there, "" where somebody does."""
    try:
        with socket.create_connection((host, port), timeout=CALL_SECONDS) as connection:
            said = connection.recv(8)
    except OSError as error:
        return str(error)[:200] or type(error).__name__
    return "" if said.startswith(b"SSH-") else "what answers there is no ssh"


def installed_for() -> str:
    """Return the instance whose agent is installed here already, "" where none is."""
    try:
        with open("/etc/dstack-agent/config.json") as file:
            return str(json.load(file).get("instance_id") or "unknown")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError):
        return "unknown"


print("dstack:found " + json.dumps(main(json.loads(base64.b64decode(sys.argv[2])))))
