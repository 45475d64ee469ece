"""wrk, the program that loads a port: how it is called, and what it says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

# How wrk says times: the number of the larger units is followed by a space for each letter missing.
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0, "h": 3_600_000.0}
TIME = r"(\d+(?:\.\d+)?)(us|ms|s|m|h)"
# wrk's own limit of 2 s would call an answer of a busy machine an error.
TIMEOUT_SECONDS = 60


class NoAnswer(RuntimeError):
    """Nothing was answered in the whole time."""


@dataclass(frozen=True)
class Report:
    """What wrk measured."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def need() -> str:
    """Return wrk's path, or end the benchmark with what to do."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("this benchmark needs wrk (Debian: apt-get install wrk)")
    return found


async def load(*, url: str, core: int, connections: int, seconds: int, more: list[str]) -> Report:
    """Load `url` from one core, with `more` arguments of wrk.

    Raise RuntimeError unless there are answers and all of them are 2xx.
    """
    argv = [need(), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    child = await asyncio.create_subprocess_exec(
        *(*argv, "--timeout", f"{TIMEOUT_SECONDS}s", *more, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return read((await child.communicate())[0].decode())


def script(path: Path) -> list[str]:
    """Return the arguments that let `path`, a Lua program, say what is sent."""
    return ["-s", str(path)]


def headers(values: dict[str, str]) -> list[str]:
    return [text for name, value in values.items() for text in ("-H", f"{name}: {value}")]


def read(text: str) -> Report:
    """Read what wrk printed; raise RuntimeError unless there are answers and all are 2xx."""
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    requests = int(found(r"^\s*(\d+) requests in ", text)[1])
    if not requests:
        raise NoAnswer(f"wrk got no answer:\n{text}")
    return Report(
        requests=requests,
        per_second=float(found(r"^Requests/sec:\s+(\d+(?:\.\d+)?)\s*$", text)[1]),
        p50_ms=percentile(50, text),
        p99_ms=percentile(99, text),
    )


def percentile(number: int, text: str) -> float:
    """Return a percentile of the answers' times, in ms."""
    time = found(rf"^\s+{number}%\s+{TIME}\s*$", text)
    return float(time[1]) * MILLISECONDS[time[2]]


def found(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"wrk said nothing of {pattern}:\n{text}")
    return match
