"""Keeps a gateway running: `agent.pyz gateway CURRENT`, CURRENT being a link to what to run.

SIGHUP has it run what the link leads to now. The old one is killed and not asked to end, because
its HAProxy goes on then, and is taken over by the new one: callers notice nothing. SIGTERM ends
both. A gateway that ends by itself is started again.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import typing
from pathlib import Path

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
# One that lived this long did not die of its start.
SETTLED_SECONDS, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 0.5, 15.0
LOOK_SECONDS = 5.0


def main(current: str) -> int:
    """Run until SIGTERM or SIGINT; return the exit code of the gateway."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return Keeper(Path(current)).run()


class Keeper:
    def __init__(self, current: Path) -> None:
        self._current = current
        self._child: typing.Optional[subprocess.Popen[bytes]] = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._pause = FIRST_PAUSE_SECONDS

    def run(self) -> int:
        while True:
            now = time.monotonic()
            if self._child is None and now >= self._start_at:
                self._start()
            wait = LOOK_SECONDS if self._child else max(0.0, self._start_at - now)
            got = signal.sigtimedwait(SIGNALS, wait)
            number = got.si_signo if got else signal.SIGCHLD
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._end()
            if number == signal.SIGHUP:
                self._renew()
            self._look()

    def _start(self) -> None:
        # Resolved here, so that each one has its own version, whatever the link says later.
        python = self._current.resolve() / "venv" / "bin" / "python"
        self._started_at = time.monotonic()
        try:
            self._child = subprocess.Popen(
                [str(python), "-m", "gateway"],
                stdin=subprocess.DEVNULL,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS),
            )
        except OSError as error:
            _say(f"the gateway cannot be started: {error}")
            self._wait_a_little()

    def _renew(self) -> None:
        _say("the gateway is started again in its new version; its callers stay connected")
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        self._start_at = 0.0

    def _look(self) -> None:
        code = None if self._child is None else self._child.poll()
        if code is None:
            return
        _say(f"the gateway ended with code {code}; it is started again")
        self._child = None
        if time.monotonic() - self._started_at > SETTLED_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._wait_a_little()

    def _wait_a_little(self) -> None:
        self._start_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def _end(self) -> int:
        if self._child is None:
            return 0
        self._child.terminate()
        return self._child.wait()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
