"""A person at a terminal: what is typed, and what is waited for on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

COMMAND = [sys.executable, "-c", "from apps.cli.main import main; main()"]
SECONDS = 20


class Terminal:
    """`dstack`, or another command, on a pseudo terminal."""

    def __init__(
        self, *args: str, folder: Path, command: Sequence[str] = COMMAND, **environ: str
    ) -> None:
        self.screen = ""
        self._master, slave = pty.openpty()
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environ}
        if "NO_COLOR" not in environ:
            env.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [*command, *args],
            stdin=slave, stdout=slave, stderr=slave, env=env, cwd=folder, start_new_session=True,
            # In a session of its own, the terminal becomes the one that Ctrl-C comes through.
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """The screen without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen).replace("\r\n", "\n")

    def wait_for(self, text: str) -> None:
        """Read until a text is on the screen."""
        deadline = time.monotonic() + SECONDS
        while text not in self.text:
            assert self._read(deadline - time.monotonic()), f"no {text!r} in {self.text!r}"

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(timeout=SECONDS)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux answers so when the last process has closed the terminal
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)
