"""A connection to a gateway and what is forwarded through it, kept as it should be."""

from __future__ import annotations

import random
import threading
import time
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.host import files
from apps.agent.host.journal import say
from apps.agent.tunnels import checks, ssh

# A look costs next to nothing; one at an earlier agent's client starts a process.
LOOK_SECONDS, ASK_SECONDS = 0.3, 2.0
# While a link is cut, packets that ask for a connection get lost, and are sent again ever later: a
# short try follows on another, so that one comes through soon after the link is back. Far
# gateways want more time, and every fifth try has it.
SHORT_SECONDS, LONG_SECONDS, LONG_EVERY = 2, 15, 5
# After what will hardly be better in a moment: no key yet, no such host, no ssh.
PAUSES = (0.2, 0.5, 1.0)
FORWARDS = "forwards.json"

Resolve = typing.Callable[[str], typing.Optional[str]]


class Link:
    """`resolve` gives the address of a workload, None while it has none."""

    def __init__(self, folder: Path, key: Path, to: wire.Tunnels, resolve: Resolve) -> None:
        self.to = to
        self._folder = folder
        self._resolve = resolve
        self._master = ssh.Master(folder, key)
        # What is forwarded now, by port.
        self._open: dict[int, str] = {}
        self._tries = 0
        self._said = ""
        self._asked_at = self._started_at = 0.0
        self._over = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def change(self, to: wire.Tunnels) -> None:
        """Keep other forwards from now on; the connection stays where the gateway is the same."""
        self.to = to
        self._wake.set()

    def end(self) -> None:
        """Close everything."""
        self._over.set()
        self._wake.set()
        self._thread.join()
        self._master.stop()

    def _run(self) -> None:
        self._take_up()
        while not self._over.is_set():
            try:
                pause = self._look()
            except OSError as error:
                self._tell(f"ssh cannot be started: {error}")
                pause = PAUSES[-1]
            self._wake.wait(pause)
            self._wake.clear()

    def _take_up(self) -> None:
        """Go on with the client that an earlier agent left, if it is connected."""
        if self._master.pid() is None:
            return
        stored = files.read_json(self._folder / FORWARDS) or {}
        self._open = {int(port): str(to) for port, to in stored.items() if port.isdigit()}

    def _look(self) -> float:
        """Do what is missing; return after how many seconds to look again."""
        if not self._is_running():
            return self._connect()
        if not self._master.is_connected():
            return LOOK_SECONDS / 3
        if self._forward():
            if self._tries:
                self._tries = 0
                self._tell(f"connected to the gateway at {self.to.host}")
            return LOOK_SECONDS
        # It was let in before it had a right to the port, or the connection of before still has
        # the port, for some seconds after a cut.
        self._master.stop()
        return 0.0

    def _is_running(self) -> bool:
        if self._master.is_ours or time.monotonic() - self._asked_at >= ASK_SECONDS:
            self._asked_at = time.monotonic()
            return self._master.is_running()
        return True

    def _connect(self) -> float:
        self._open.clear()
        self._tries += 1
        if self._tries > 1 and (why := self._master.why()):
            self._tell(f"no tunnel to the gateway at {self.to.host}: {why}")
        is_long = self._tries % LONG_EVERY == 0
        seconds = LONG_SECONDS if is_long else SHORT_SECONDS
        pause = PAUSES[min(self._tries, len(PAUSES)) - 1] * random.uniform(0.75, 1.0)
        # The first try after it worked is made at once.
        if self._tries > 1 and self._over.wait(self._left(pause)):
            return 0.0
        self._started_at = time.monotonic()
        self._master.start(self.to, connect_seconds=seconds)
        return LOOK_SECONDS / 3

    def _left(self, pause: float) -> float:
        """What is left of a pause after a try that has itself taken time."""
        return max(0.1, pause - (time.monotonic() - self._started_at))

    def _forward(self) -> bool:
        """Open and close what has to be; return whether all could be opened."""
        wanted = {
            each.port: target
            for each in self.to.forwards
            if (target := checks.target(self._resolve(each.workload_id)))
        }
        for port, to in list(self._open.items()):
            if wanted.get(port) != to:
                self._master.close(port, to)
                del self._open[port]
                self._keep()
        for port, to in wanted.items():
            if port in self._open:
                continue
            why = self._master.open(port, to)
            if why:
                self._tell(f"port {port} of the gateway is not open yet: {why}")
                return False
            self._open[port] = to
            self._keep()
        return True

    def _keep(self) -> None:
        stored = {str(port): to for port, to in self._open.items()}
        files.write_json(self._folder / FORWARDS, stored)

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            say(text)
