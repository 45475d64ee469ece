from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.agent import wire
from apps.agent.docker import stats as docker_stats
from apps.agent.host import procs, usage
from apps.agent.host.usage import Gpu, Measured, Sampler, Used

TOLD = """\
0, 87, 1024, 2048
1, [N/A], 0, 2048
"""
SMI = f"#!/bin/sh\n[ $# = 2 ] || exit 1\nprintf '%s' '{TOLD}'\n"


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs, as its nvidia-smi says."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def measured(folder: Path, *answers: Used | None, gpu_indices: list[int] | None = None) -> Measured:
    told = iter(answers)
    spec = wire.WorkloadSpec(id="w", name="w", gpu_indices=gpu_indices or [], cpu_limit=2.0)
    return Measured(spec, folder, lambda table: next(told))


def test_a_sample_is_what_was_used_since_the_one_before(tmp_path: Path) -> None:
    sampler, one = Sampler(), measured(tmp_path, Used(5.0, 100), Used(5.5, 200, 300))

    assert sampler.sample([one]) == []
    (sample,) = sampler.sample([one])

    assert sample.cpu_cores > 1  # half a second of processor time in much less
    assert (sample.memory_bytes, sample.memory_limit_bytes, sample.cpu_limit) == (200, 300, 2.0)


def test_time_never_runs_backwards(tmp_path: Path) -> None:
    sampler, one = Sampler(), measured(tmp_path, Used(5.0, 1), Used(1.0, 1))
    sampler.sample([one])

    assert sampler.sample([one])[0].cpu_cores == 0


def test_nothing_is_said_of_what_does_not_run(tmp_path: Path) -> None:
    one = measured(tmp_path, None, None)

    assert Sampler().sample([one]) == []


def test_gpus_are_those_of_the_workload(tmp_path: Path, gpus: Path) -> None:
    sampler = Sampler()
    one = measured(tmp_path, Used(0, 0), Used(0, 0), gpu_indices=[0, 7])
    sampler.sample([one])

    (sample,) = sampler.sample([one])

    assert (sample.gpu_percent, sample.gpu_memory_bytes) == (87, 2**30)
    assert sample.gpu_memory_total_bytes == 2**31


@pytest.mark.parametrize(
    ("indices", "busiest"), [([0], 87), ([1], None), ([0, 1], None), ([0, 7], None), ([], None)]
)
def test_the_busiest_is_known_where_each_of_its_gpus_is(
    tmp_path: Path, gpus: Path, indices: list[int], busiest: float | None
) -> None:
    sampler = Sampler()
    one = measured(tmp_path, Used(0, 0), Used(0, 0), gpu_indices=indices)
    sampler.sample([one])

    (sample,) = sampler.sample([one])

    assert sample.gpu_percent_max == busiest


def test_reads_what_a_gpu_does_not_tell_as_nothing() -> None:
    assert usage.parse_gpus(TOLD)[1] == Gpu(0, 0, 2**31, is_measured=False)


@pytest.mark.parametrize("text", ["", "No devices were found\n", "a,b,c,d\n", "0,1\n", "\0,1,2,3"])
def test_takes_no_gpus_from_other_words(text: str) -> None:
    assert usage.parse_gpus(text) == {}


def test_a_machine_without_the_program_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert usage.read_gpus() == {}


def test_ends_what_takes_more_of_the_disk_than_it_may(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2**21)
    said: list[str] = []
    one = measured(tmp_path, None)._replace(disk_limit=2**20, end=said.append)

    Sampler().sample([one])

    assert said == [
        "it had 2 MiB of files in its folder and /tmp, more than the 1 MiB of disk that it may "
        "have, and was ended"
    ]


def test_a_look_at_all_processes_has_this_one_with_its_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        table = procs.table()
    finally:
        child.kill()
        child.wait()

    assert table[child.pid] in procs.below(os.getpid(), table)
    assert table[os.getpid()].cpu_ticks > 0
    assert table[os.getpid()].resident_pages * procs.PAGE_BYTES > 2**22


def test_reads_the_engines_numbers() -> None:
    memory = {"usage": 500, "limit": 1000, "stats": {"inactive_file": 100}}
    stats = {"cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}}, "memory_stats": memory}

    assert docker_stats.used(stats) == Used(2.5, 400, 1000)


@pytest.mark.parametrize("stats", [{}, {"cpu_stats": None}, {"cpu_stats": {"cpu_usage": {}}}])
def test_a_container_that_does_not_run_uses_nothing(stats: object) -> None:
    assert docker_stats.used(stats) is None
