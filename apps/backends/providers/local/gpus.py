"""Asking this host's `nvidia-smi`, which may hang for ever with a broken driver."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time

from apps.backends import nvidia

SECONDS = 5.0
# A program that hung is left alone for a while: else each plan waits for it.
PAUSE_SECONDS = 60.0
KILLED_SECONDS = 1.0
LONGEST_ANSWER_BYTES = 256 * 1024

_hung_at: dict[str, float] = {}


class Hangs(Exception):
    """The program did not end in time."""


def find(*, host_memory_mib: int) -> nvidia.Found:
    """Return the GPUs that can be used here, one entry for each kind, and why others cannot."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return nvidia.Found()
    try:
        answer = _answer(program)
    except Hangs:
        return nvidia.Found(problems=(f"nvidia-smi did not answer within {SECONDS:g} s",))
    except OSError as error:
        return nvidia.Found(problems=(f"nvidia-smi cannot be started: {error.strerror}",))
    return nvidia.read(answer, host_memory_mib=host_memory_mib)


def _answer(program: str) -> str:
    """What it says to the most fields that it knows. Raise Hangs, OSError."""
    if time.monotonic() - _hung_at.get(program, float("-inf")) < PAUSE_SECONDS:
        raise Hangs
    answer = ""
    for fields in range(len(nvidia.FIELDS), nvidia.FEWEST_FIELDS - 1, -1):
        answer = _run([program, *nvidia.arguments(fields)])
        if nvidia.UNKNOWN_FIELD not in answer:
            break
    return answer


def _run(argv: list[str]) -> str:
    """All that the program writes. One that is stuck in its driver cannot even be killed, and is
    not waited for. Raise Hangs, OSError."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
        try:
            child.wait(SECONDS)
        except subprocess.TimeoutExpired as error:
            _hung_at[argv[0]] = time.monotonic()
            _kill(child)
            raise Hangs from error
        output.seek(0)
        return output.read(LONGEST_ANSWER_BYTES).decode(errors="replace")


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(KILLED_SECONDS)
