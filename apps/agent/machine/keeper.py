"""Looks after a machine that was made for its agent, while that serves."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from apps.agent.config import Machine
from apps.agent.host.journal import say
from apps.agent.isolation import metadata
from apps.agent.machine import removal
from apps.agent.machine.update import Update
from apps.agent.machine.watchdog import Watchdog, power_off
from apps.agent.server.client import Client


class Keeper:
    """`why` tells why the machine has to end, "" while it has not."""

    def __init__(self, rules: Machine, client: Client, *, home: Path) -> None:
        self.why = ""
        self._rules = rules
        self._watchdog = Watchdog(rules, client.contact, home / "contact.json")
        self._update = Update(rules, client, Path(sys.argv[0]).resolve())
        if rules.lent:
            return  # the packet rules of a person's machine are theirs
        try:
            metadata.close()
        except OSError as error:
            say(f"replicas may reach what the cloud tells this machine: {error}")

    def keep(self) -> bool:
        """Tell whether the machine has to end; a new agent that is there takes this one's place."""
        if self._update.is_ready():
            self._update.restart()
        self.why = self._watchdog.why()
        return bool(self.why)

    def end(self, stop: threading.Event) -> None:
        end_machine(self._rules, self.why, stop)


def end_machine(rules: Machine, why: str, stop: threading.Event) -> None:
    """Shut the machine down, or leave it where it is a person's; return when this process is told
    to end."""
    if rules.lent:
        say(f"{why}: taking this agent off it")
        removal.leave(Path(sys.argv[0]).resolve().parent, stop)
        return
    say(f"{why}: shutting this machine down")
    power_off(rules.shutdown, stop)
