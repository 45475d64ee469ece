"""One OpenSSH client that stays connected, and commands to it by its control socket.

It runs in a session of its own and outlives the agent, whose successor finds it by that socket.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.host import ssh_key

SOCKET, KNOWN_HOSTS, ERRORS = "control", "known_hosts", "errors"
# The gateway is known by its key alone, whatever its address is.
ALIAS = "gateway"
COMMAND_SECONDS = 10.0
# Both sides take note of a cut within six seconds.
ALIVE_SECONDS, ALIVE_TIMES = 2, 2
MOST_ERROR_BYTES = 4000
RUNNING = re.compile(r"Master running \(pid=([0-9]+)\)")


class Master:
    """The client for one gateway, in a folder of its own. `key` is the private key's file."""

    def __init__(self, folder: Path, key: Path) -> None:
        self._folder = folder
        self._key = key
        self._child: typing.Optional[subprocess.Popen[bytes]] = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def command(self, to: wire.Tunnels, *, connect_seconds: int) -> list[str]:
        """Return the command line that connects."""
        options = {
            "BatchMode": "yes",
            "CheckHostIP": "no",
            "ConnectTimeout": str(connect_seconds),
            "ControlMaster": "yes",
            "ControlPath": SOCKET,
            "ControlPersist": "no",
            "ExitOnForwardFailure": "no",
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": ALIAS,
            "HostKeyAlgorithms": "ssh-ed25519",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "PreferredAuthentications": "publickey",
            "ServerAliveCountMax": str(ALIVE_TIMES),
            "ServerAliveInterval": str(ALIVE_SECONDS),
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": KNOWN_HOSTS,
        }
        words = [f"-o{name}={value}" for name, value in options.items()]
        where = ["-p", str(to.port), "-l", to.user, "--", to.host]
        return ["ssh", "-F", "none", "-N", "-T", "-i", str(self._key), *words, *where]

    def start(self, to: wire.Tunnels, *, connect_seconds: int) -> None:
        """Begin to connect. Raise OSError where there is no ssh."""
        self.stop()
        (self._folder / KNOWN_HOSTS).write_text(f"{ALIAS} {to.host_key}\n")
        with (self._folder / ERRORS).open("wb") as errors:
            self._child = subprocess.Popen(
                self.command(to, connect_seconds=connect_seconds),
                cwd=str(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment(),
                start_new_session=True,
            )

    @property
    def is_ours(self) -> bool:
        """Whether it is a child of this agent, not of an earlier one."""
        return self._child is not None

    def is_running(self) -> bool:
        """Tell whether it connects or is connected; one of an earlier agent counts too."""
        if self._child is not None:
            return self._child.poll() is None
        return self.pid() is not None

    def is_connected(self) -> bool:
        """Tell whether it was let in; a dead one may have left its socket."""
        return (self._folder / SOCKET).exists()

    def pid(self) -> typing.Optional[int]:
        """Ask whoever answers at the control socket which process it is."""
        if not self.is_connected():
            return None
        found = RUNNING.search(self._ask("check")[1])
        return int(found[1]) if found else None

    def open(self, port: int, to: str) -> str:
        """Forward a port of the gateway; return why that failed, "" where it did not."""
        code, said = self._ask("forward", "-R", f"127.0.0.1:{port}:{to}")
        return "" if code == 0 else said or f"ssh ended with code {code}"

    def close(self, port: int, to: str) -> None:
        """Give a port up."""
        self._ask("cancel", "-R", f"127.0.0.1:{port}:{to}")

    def stop(self) -> None:
        """End it, be it ours or an earlier agent's."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        elif self.is_connected():
            self._ask("exit")
        with contextlib.suppress(FileNotFoundError):
            (self._folder / SOCKET).unlink()

    def why(self) -> str:
        """Return what it said last."""
        try:
            text = (self._folder / ERRORS).read_bytes()[-MOST_ERROR_BYTES:].decode(errors="replace")
        except OSError:
            return ""
        return " ".join((text.strip().splitlines() or [""])[-1].split())

    def _ask(self, what: str, *arguments: str) -> tuple[int, str]:
        words = ["ssh", "-F", "none", "-S", SOCKET, "-O", what, *arguments, ALIAS]
        try:
            ran = subprocess.run(
                words,
                cwd=str(self._folder),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_SECONDS,
                env=environment(),
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return 255, str(error)
        return ran.returncode, " ".join((ran.stderr + ran.stdout).split())


def environment() -> dict[str, str]:
    """Nothing of the agent's own: no ssh-agent, no token."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": "/nonexistent"}


def key_file(folder: Path) -> Path:
    return folder / ssh_key.NAME
