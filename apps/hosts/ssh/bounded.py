"""A child process that is bounded in time and in what it may say: who answers it is a stranger."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

CHUNK_BYTES = 64 * 1024
LAST_SECONDS = 5.0


class TooLate(Exception):
    """It did not end in its time."""


class TooMuch(Exception):
    """It said more than anybody would want to know."""


@dataclass(frozen=True)
class Ended:
    code: int
    output: bytes
    errors: bytes


def run(
    argv: Sequence[str], *, said: bytes, env: Mapping[str, str], seconds: float, most_bytes: int
) -> Ended:
    """Run it to its end, with all its children. Raise TooLate, TooMuch and OSError."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True
    )
    assert child.stdin and child.stdout and child.stderr
    output, errors = bytearray(), bytearray()
    over = threading.Event()
    threads = [
        threading.Thread(target=_write, args=(child.stdin, said), daemon=True),
        threading.Thread(target=_read, args=(child, child.stdout, output, most_bytes, over)),
        threading.Thread(target=_read, args=(child, child.stderr, errors, most_bytes, over)),
    ]
    for thread in threads:
        thread.start()
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        _kill(child)
        raise TooLate from None
    finally:
        # What it started may outlive it and hold its pipes open.
        for thread in threads:
            thread.join(LAST_SECONDS)
        if any(thread.is_alive() for thread in threads):
            _kill(child)
        child.wait()
    if over.is_set():
        raise TooMuch
    return Ended(code, bytes(output), bytes(errors))


def _write(pipe: IO[bytes], said: bytes) -> None:
    with contextlib.suppress(OSError), pipe:
        pipe.write(said)


def _read(
    child: subprocess.Popen[bytes],
    pipe: IO[bytes],
    kept: bytearray,
    most_bytes: int,
    over: threading.Event,
) -> None:
    with pipe:
        while chunk := os.read(pipe.fileno(), CHUNK_BYTES):
            kept += chunk
            if len(kept) > most_bytes:
                over.set()
                _kill(child)
                return


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End it and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
