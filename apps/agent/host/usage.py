"""What workloads use of their host: processor, memory, disk and GPUs, sampled every 10 s.

One walk through /proc serves all workloads of a sample. Processor time counts what a workload's
processes and those that have ended used; memory is what its processes have resident, so that a page
that several of them share counts for each.
"""

from __future__ import annotations

import collections
import csv
import shutil
import subprocess
import time
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.host import disk, procs

SAMPLE_SECONDS = 10.0
GPU_SECONDS = 5.0
# Ten minutes of them.
KEPT_SAMPLES = 60
GPU_FIELDS = "index,utilization.gpu,memory.used,memory.total"
MIB = 1024 * 1024


class Used(typing.NamedTuple):
    """Processor time since the workload's start, and what it has of memory now."""

    cpu_seconds: float
    memory_bytes: int
    memory_limit_bytes: typing.Optional[int] = None


class Measured(typing.NamedTuple):
    """A running workload, as far as it is measured.

    `disk_limit` is what its folder may take; `end` is called with the sentence when it takes more.
    """

    spec: wire.WorkloadSpec
    folder: Path
    usage: typing.Callable[[procs.Table], typing.Optional[Used]]
    disk_limit: typing.Optional[int] = None
    end: typing.Callable[[str], None] = lambda why: None


class Gpu(typing.NamedTuple):
    """A part of a GPU has a load that is not known, and is 0 then."""

    percent: float
    memory_bytes: int
    memory_total_bytes: int
    is_measured: bool = True


def measure(
    *,
    running: typing.Callable[[], list[Measured]],
    send: typing.Callable[[wire.UsageBatch], bool],
    is_over: typing.Callable[[float], bool],
) -> None:
    """Sample until `is_over`, which waits for the seconds that it is given.

    What `send` does not bring to the server waits for the next time, or is forgotten.
    """
    sampler = Sampler()
    waiting: collections.deque[list[wire.UsageSample]] = collections.deque(maxlen=KEPT_SAMPLES)
    while not is_over(SAMPLE_SECONDS):
        if samples := sampler.sample(running()):
            waiting.append(samples)
        while waiting and send(wire.UsageBatch(waiting[0])):
            waiting.popleft()


class Sampler:
    """Makes samples of the difference to the sample before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}
        self._disks: dict[str, disk.Folder] = {}

    def sample(self, workloads: typing.Sequence[Measured]) -> list[wire.UsageSample]:
        """Measure running workloads; one that is new to it comes later."""
        table = procs.table()
        wants_gpus = any(one.spec.gpu_indices for one in workloads)
        gpus = read_gpus() if wants_gpus else {}
        found = [self._one(workload, table, gpus) for workload in workloads]
        known = {workload.spec.id for workload in workloads}
        self._before = {name: kept for name, kept in self._before.items() if name in known}
        self._disks = {name: kept for name, kept in self._disks.items() if name in known}
        return [sample for sample in found if sample is not None]

    def _one(
        self, workload: Measured, table: procs.Table, gpus: typing.Mapping[int, Gpu]
    ) -> typing.Optional[wire.UsageSample]:
        now, name = time.monotonic(), workload.spec.id
        disk_bytes = self._disk(workload, now)
        used = workload.usage(table)
        if used is None:
            return None
        at, cpu_seconds = self._before.get(name, (now, used.cpu_seconds))
        self._before[name] = (now, used.cpu_seconds)
        if now <= at:
            return None
        own = [gpus[index] for index in workload.spec.gpu_indices if index in gpus]
        return wire.UsageSample(
            id=name,
            at=time.time(),
            cpu_cores=max(used.cpu_seconds - cpu_seconds, 0.0) / (now - at),
            cpu_limit=workload.spec.cpu_limit,
            memory_bytes=used.memory_bytes,
            memory_limit_bytes=used.memory_limit_bytes,
            disk_bytes=disk_bytes,
            gpu_percent=sum(gpu.percent for gpu in own) / len(own) if own else None,
            gpu_percent_max=_busiest(own, count=len(workload.spec.gpu_indices)),
            gpu_memory_bytes=sum(gpu.memory_bytes for gpu in own) if own else None,
            gpu_memory_total_bytes=sum(gpu.memory_total_bytes for gpu in own) if own else None,
        )

    def _disk(self, workload: Measured, now: float) -> typing.Optional[int]:
        name = workload.spec.id
        if name not in self._disks:
            self._disks[name] = disk.Folder(workload.folder, limit=workload.disk_limit)
        folder = self._disks[name]
        folder.look(now)
        if folder.over:
            workload.end(folder.over)
        return folder.size


def _busiest(gpus: typing.Sequence[Gpu], *, count: int) -> typing.Optional[float]:
    """Return the load of the busiest; None where that of one of the `count` is not known."""
    if len(gpus) < count or not all(gpu.is_measured for gpu in gpus):
        return None
    return max((gpu.percent for gpu in gpus), default=None)


def read_gpus() -> dict[int, Gpu]:
    """Ask nvidia-smi for the host's GPUs by index; {} where there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    argv = [program, f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GPU_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_gpus(done.stdout)


def parse_gpus(text: str) -> dict[int, Gpu]:
    """Read nvidia-smi's lines; a field that a GPU does not have is 0."""
    found = {}
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == 4 and row[0].strip().isdigit():
            percent, used, total = (_number(field) for field in row[1:])
            is_measured = row[1].strip().replace(".", "", 1).isdigit()
            found[int(row[0])] = Gpu(percent, int(used * MIB), int(total * MIB), is_measured)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # "[N/A]"
