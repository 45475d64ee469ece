"""Keeping the agent of a machine up to date with its server.

The server says which program it has; another one than runs here is fetched, checked and tried, and
takes this one's place. The process becomes the new program (exec): for replicas that is what the
end of an agent always is, nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
import typing
import zipfile
from pathlib import Path

from apps.agent.config import Machine
from apps.agent.host.journal import say
from apps.agent.server.client import Client, Refused, ServerAway

TRY_SECONDS = 60.0
RETRY_SECONDS = 60.0


class Update:
    """`program` is the file that this process runs."""

    def __init__(self, rules: Machine, client: Client, program: Path) -> None:
        self._rules, self._client, self._program = rules, client, program
        self._sha256 = _sha256(program) if zipfile.is_zipfile(program) else ""
        # Servers of two versions may answer for a while: no agent changes with each answer.
        self._next_at = time.monotonic() + rules.update_seconds
        self._refused = ""
        self._thread: typing.Optional[threading.Thread] = None
        self._is_ready = False

    def is_ready(self) -> bool:
        """Tell whether the new program lies in place of this one; begin to fetch it if need be."""
        wanted = self._client.contact.program_sha256
        is_other = wanted not in ("", self._sha256, self._refused)
        at_work = self._thread is not None and self._thread.is_alive()
        if self._sha256 and is_other and not at_work and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + RETRY_SECONDS
            self._thread = threading.Thread(target=self._fetch, args=(wanted,), daemon=True)
            self._thread.start()
        return self._is_ready

    def _fetch(self, wanted: str) -> None:
        fresh = self._program.with_name(f"{self._program.name}.new")
        try:
            self._client.program(sha256=wanted, target=fresh)
            if not _runs(fresh):
                self._refused = wanted
                say("the server's agent does not run on this machine: this one goes on")
                return
            fresh.chmod(0o644)
            fresh.replace(self._program)
            self._is_ready = True
        except (ServerAway, Refused, OSError) as error:
            say(f"the server's agent cannot be had: {error}")
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink()

    def restart(self) -> None:
        """Become the new program."""
        say("restarting as the server's version of the agent")
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, str(self._program), *sys.argv[1:]])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _runs(program: Path) -> bool:
    try:
        ran = subprocess.run(
            [sys.executable, str(program), "--help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRY_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return ran.returncode == 0
