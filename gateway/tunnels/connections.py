"""Connections of agents: one `sshd -i` each, in a session of its own, so that it outlives the
sidecar.

Each has a log in the folder `connections`, called PID.TICKS as of its process. By that it is known
with which key somebody came in.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.haproxy.process import Process, stat_fields
from gateway.tunnels.sshd import CONFIG, FOLDER, Sshd

LOGS = f"{FOLDER}/connections"
ACCEPTED = re.compile(r"^Accepted publickey for \S+ from .* (SHA256:[A-Za-z0-9+/]{43})$", re.M)
NAME = re.compile(r"([0-9]+)\.([0-9]+)")
# The log has its name before sshd is there, so a sidecar that is killed in between leaves none that
# its successor does not know.
NAMED = (
    "sshd=$0 config=$1 logs=$2; read -r stat </proc/$$/stat; set -- $stat; "
    'exec "$sshd" -i -f "$config" -E "$logs/$$.${22}"'
)
# Somebody who asks for what is not allowed, over and over, writes a log.
MOST_LOG_BYTES = 1_000_000


@dataclass
class Connection:
    """`key` is the fingerprint of the key that came in, empty until then; `came_at` is when, by the
    clock that never goes back."""

    process: Process
    log: Path
    child: subprocess.Popen[bytes] | None = None
    key: str = ""
    came_at: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Find out with which key it came in."""
        with suppress(OSError):
            if not self.key and (found := ACCEPTED.search(self.log.read_text(errors="replace"))):
                self.key = found[1]

    @property
    def writes_too_much(self) -> bool:
        try:
            return self.log.stat().st_size > MOST_LOG_BYTES
        except OSError:
            return False

    def end(self) -> None:
        """Cut it off at once, with all that it forwards."""
        if self.process.is_alive():
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def ended(self) -> None:
        """Return when it is over, and leave nothing of it."""
        await self.process.ended()
        # The part without rights outlives the other one by a moment.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.child is not None:
            self.child.wait()
        self.log.unlink(missing_ok=True)


def start(sshd: Sshd, peer: socket.socket) -> Connection:
    """Serve somebody who connected. Raise OSError."""
    # Whole paths: from OpenSSH 9.8 on sshd goes on as another program, in another folder.
    config, logs = Path(FOLDER, CONFIG).absolute(), Path(LOGS).absolute()
    child = subprocess.Popen(
        ["/bin/sh", "-c", NAMED, sshd.binary, str(config), str(logs)],
        stdin=peer.fileno(),
        stdout=peer.fileno(),
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        start_new_session=True,
    )
    ticks = int(stat_fields(child.pid)[19])
    return Connection(Process(child.pid, ticks, ""), Path(LOGS) / f"{child.pid}.{ticks}", child)


def found() -> list[Connection]:
    """Return the connections that an earlier sidecar left, without the rows of those that ended."""
    folder = Path(LOGS)
    folder.mkdir(mode=0o700, exist_ok=True)
    living = []
    for path in folder.iterdir():
        name = NAME.fullmatch(path.name)
        process = Process(int(name[1]), int(name[2]), "") if name else None
        if process is not None and process.is_alive():
            living.append(Connection(process, path))
        else:
            path.unlink(missing_ok=True)
    return living
