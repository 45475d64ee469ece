"""Ends a machine that nobody wants any more, so that it costs nothing.

Its server refuses it: the instance is over, and its end got lost. Or there is no server: then the
replicas go on for hours, since a server may be away for a night. What was seen is kept on disk, or
an agent that restarts every hour would never come to an end.
"""

from __future__ import annotations

import subprocess
import threading
import typing
from pathlib import Path

from apps.agent.config import Machine
from apps.agent.host import files, procs
from apps.agent.host.journal import say
from apps.agent.server.contact import Contact
from apps.agent.workloads.executor import duration

KEEP_SECONDS = 60.0
COMMAND_SECONDS = 30.0
# A host takes its time to go down; one that is still there after it is asked again.
AGAIN_SECONDS = 60.0
OVER = "this machine is no host of its server any more"


class Watchdog:
    """What `kept` says is of this start of the host alone, as the clock of `contact` is."""

    def __init__(self, rules: Machine, contact: Contact, kept: Path) -> None:
        self._rules, self._contact, self._kept = rules, contact, kept
        self._written_at = now = contact.now()
        known = files.read_json(kept) or {}
        if known.get("boot_id") != procs.boot_id():
            known = {}
        self._began_at = float(known.get("answered_at") or now)
        if contact.refused_since is None:
            contact.refused_since = known.get("refused_since")
        self._write()

    def why(self) -> str:
        """Return why this machine has to end, "" where it has not."""
        if self._rules.lent:
            return OVER if self._contact.is_over else ""
        contact = self._contact
        now = contact.now()
        if now - self._written_at >= KEEP_SECONDS:
            self._write()
        if contact.refused_since is not None:
            refused = now - contact.refused_since
            if refused >= self._rules.refused_seconds:
                return f"the server has refused this machine for {duration(refused)}"
        silent = now - self._heard_at()
        if silent >= self._rules.silent_seconds:
            return f"no server has answered for {duration(silent)}"
        return ""

    def left_seconds(self) -> float:
        """Return the time until it has to end, if nothing happens meanwhile."""
        if self._rules.lent:
            return float("inf")
        now, since = self._contact.now(), self._contact.refused_since
        silent = self._heard_at() + self._rules.silent_seconds - now
        if since is None:
            return silent
        return min(silent, since + self._rules.refused_seconds - now)

    def _heard_at(self) -> float:
        return max(self._began_at, self._contact.answered_at or self._began_at)

    def _write(self) -> None:
        self._written_at = self._contact.now()
        known = {
            "boot_id": procs.boot_id(),
            "answered_at": self._heard_at(),
            "refused_since": self._contact.refused_since,
        }
        files.write_json(self._kept, known)


def power_off(command: typing.Sequence[str], stop: threading.Event) -> None:
    """End the machine; ask again until it ends, or this process is told to."""
    while True:
        try:
            ran = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=COMMAND_SECONDS,
            )
            if ran.returncode:
                error = ran.stderr.decode("utf-8", "replace").strip()[-200:]
                say(f"{command[0]} failed with code {ran.returncode}: {error}")
        except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
            say(f"this machine cannot be shut down: {error}")
        if stop.wait(AGAIN_SECONDS):
            return
