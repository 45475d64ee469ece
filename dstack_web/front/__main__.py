"""The web server and the proxy before it, as a container's one command:

    python -m dstack_web.front [PORT]

It listens on port 3000 of all addresses, or on the one that is named. What ends is started again;
what keeps ending ends this too, so that whoever runs the container hears of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dstack_web.front import config, room, web
from dstack_web.front.config import Front
from dstack_web.front.errors import FrontFailed
from dstack_web.processes import kill_session
from dstack_web.variables.values import check
from dstack_web.variables.variable import BadVariable

PORT = 3000  # Where compose.yaml looks for it.
STATIC_ROOT = "/opt/static"
PAUSE_SECONDS = 0.2
STEADY_SECONDS = 60.0
MOST_ENDS = 5
# Of the ten seconds that a container has to stop.
FINISH_SECONDS, STOP_SECONDS = 2.0, 6.0
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class KeepsEnding(Exception):
    """A process ends again and again; the text says which."""


@dataclass
class Part:
    """One process that is kept running."""

    name: str
    argv: list[str]
    process: subprocess.Popen[bytes]
    started_at: float
    ends: int = 0

    @classmethod
    def begin(cls, name: str, argv: list[str]) -> Part:
        return cls(name, argv, spawn(argv), time.monotonic())

    def keep(self) -> None:
        """Start it again if it has ended. Raise KeepsEnding."""
        if self.process.poll() is None:
            return
        lived = time.monotonic() - self.started_at
        self.ends = 1 if lived > STEADY_SECONDS else self.ends + 1
        say(f"{self.name} ended with code {self.process.returncode}; starting it again")
        if self.ends > MOST_ENDS:
            raise KeepsEnding(f"{self.name} keeps ending; see above why")
        kill_session(self.process.pid)  # granian's worker, too
        time.sleep(PAUSE_SECONDS * self.ends)
        self.process, self.started_at = spawn(self.argv), time.monotonic()

    def end(self, how: signal.Signals, seconds: float) -> None:
        """Ask it to end, and wait so long for it."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        if how == signal.SIGKILL:
            kill_session(self.process.pid)


def main(words: Sequence[str]) -> int:
    """Serve until a signal asks for the end; return the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    with tempfile.TemporaryDirectory(prefix="dstack-front-") as name:
        try:
            return run(Path(name), int(words[0]) if words else PORT, os.environ)
        except (BadVariable, FrontFailed, KeepsEnding, OSError) as error:
            say(str(error))
            return 1


def run(folder: Path, port: int, environ: Mapping[str, str]) -> int:
    check(environ)
    files = room.allow_files()
    if words := room.complaint(files):
        say(words)
    found = room.room(files=files, environ=environ)
    front = Front("0.0.0.0", port, folder / "web.sock", found, config.trusted(environ))
    config.write(folder, front)
    static = Path(environ.get("DSTACK_STATIC_ROOT") or STATIC_ROOT)
    serve = web.argv(socket=front.web, static_root=static, room=found, kill_seconds=5)
    parts = [
        Part.begin("web", serve),
        Part.begin("front", config.argv(folder, environ)),
    ]
    try:
        while signal.sigwait({*STOP_SIGNALS, signal.SIGCHLD}) not in STOP_SIGNALS:
            for part in parts:
                part.keep()
    finally:
        stop(*parts)
    return 0


def stop(served: Part, front: Part) -> None:
    """Take no more connections, let what is under way finish, then end both."""
    front.end(signal.SIGUSR1, FINISH_SECONDS)
    front.end(signal.SIGTERM, 1.0)
    served.end(signal.SIGTERM, STOP_SECONDS)
    for part in (front, served):
        part.end(signal.SIGKILL, 1.0)


def spawn(argv: list[str]) -> subprocess.Popen[bytes]:
    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    environ = {**os.environ, "DSTACK_BEHIND_FRONT": "1"}
    return subprocess.Popen(
        argv, env=environ, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=unblock
    )


def say(text: str) -> None:
    sys.stderr.write(f"dstack-web: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
