"""What a machine that a person lent has, looked at again and again: a GPU is built in, Docker is
installed, memory is added. The server makes its offer of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import typing
from pathlib import Path

from apps.agent import wire

LOOK_SECONDS = 60.0
# A server that went back to an earlier day hears of it, too.
AGAIN_SECONDS = 3600.0
GPU_SECONDS = 15.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = re.compile(r"python(3\.\d+)")
MIB = 1024 * 1024
# As the server reads them; older drivers do not know the last ones.
GPU_FIELDS = ("index", "name", "memory.total", "mig.mode.current", "compute_cap")
FEWEST_FIELDS = 3
UNKNOWN_FIELD = "is not a valid field"
MOST_CHARACTERS = 20_000

Images = typing.Callable[[], typing.Optional[list[str]]]


class Watch:
    """`news` is what the server has not heard yet."""

    def __init__(self, folder: Path, images: Images, *, is_wanted: bool) -> None:
        self._folder, self._images, self._is_wanted = folder, images, is_wanted
        self._found: typing.Optional[wire.Hardware] = None
        self._told: typing.Optional[wire.Hardware] = None
        self._told_at = 0.0

    def watch(
        self, *, tell: typing.Callable[[], None], is_over: typing.Callable[[float], bool]
    ) -> None:
        """Look every minute until `is_over`, which waits for the seconds that it is given."""
        while self._is_wanted:
            self._found = look(self._folder, self._images)
            if self.news is not None:
                tell()
            if is_over(LOOK_SECONDS):
                return

    @property
    def news(self) -> typing.Optional[wire.Hardware]:
        is_old = time.monotonic() - self._told_at >= AGAIN_SECONDS
        return self._found if is_old or self._found != self._told else None

    def told(self, said: typing.Optional[wire.Hardware]) -> None:
        """Note that the server took it."""
        if said is not None:
            self._told, self._told_at = said, time.monotonic()


def look(folder: Path, images: Images) -> wire.Hardware:
    return wire.Hardware(
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
        disk_mib=shutil.disk_usage(folder).total // MIB,
        gpus=gpus(),
        images=images(),
        pythons=pythons(),
        shells=[name for name in ("bash", "sh") if shutil.which(name, path=PATH)],
    )


def gpus(path: str = PATH) -> typing.Optional[str]:
    """Return what nvidia-smi says of the most fields that it knows, None where there is none."""
    program = shutil.which("nvidia-smi", path=path)
    if program is None:
        return None
    answer = ""
    for count in range(len(GPU_FIELDS), FEWEST_FIELDS - 1, -1):
        answer = _asked(program, GPU_FIELDS[:count])
        if UNKNOWN_FIELD not in answer:
            break
    return answer


def _asked(program: str, fields: typing.Sequence[str]) -> str:
    argv = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=GPU_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {GPU_SECONDS:g} s"
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    return ran.stdout.decode("utf-8", "replace")[:MOST_CHARACTERS]


def pythons() -> list[str]:
    """Return the versions of Python that the usual folders have, the newest first."""
    found = set()
    for folder in PATH.split(":"):
        with contextlib.suppress(OSError):
            names = [path.name for path in Path(folder).iterdir()]
            found |= {match[1] for name in names if (match := PYTHON.fullmatch(name))}
    return sorted(found, key=lambda version: int(version.partition(".")[2]), reverse=True)
