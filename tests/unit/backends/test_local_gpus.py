"""This host's GPUs, of a program `nvidia-smi` that stands in for NVIDIA's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from apps.backends import nvidia
from apps.backends.base import Hardware
from apps.backends.providers.local import gpus, host
from apps.backends.providers.local.provider import LocalConfig, LocalProvider
from apps.offers.decide import match
from apps.specs.parse import parse

MIXED = """\
0, NVIDIA A100-SXM4-40GB, 40960, Disabled, 8.0
1, Tesla T4, 15360, [N/A], 7.5
2, NVIDIA A100-SXM4-40GB, 40960, Disabled, 8.0
3, NVIDIA A100-SXM4-40GB, 40960, Enabled, 8.0
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of programs before the ordinary ones."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(gpus, "_hung_at", {})
    monkeypatch.setattr(LocalProvider, "_facts", None)
    return tmp_path


def install(path: Path, script: str, *, mode: int = 0o755) -> None:
    program = path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(mode)


def says(path: Path, text: str) -> None:
    (path / "said").write_text(text)
    install(path, f'cat "{path}/said"')


def find() -> nvidia.Found:
    return gpus.find(host_memory_mib=4096)


def offers(path: Path) -> list[Hardware]:
    config = LocalConfig(boot_path=path / "config.json", url="http://127.0.0.1:1")
    return [offer.hardware for offer in LocalProvider(config).offers()]


def test_offers_each_kind_of_its_gpus(path: Path) -> None:
    says(path, MIXED)

    found = offers(path)

    assert [str(each).split(", ")[2] for each in found] == ["2xA100 (40GB)", "1xT4 (16GB)"]
    assert [each.gpu and each.gpu.numbers for each in found] == [(0, 2), (1,)]
    assert all("GPU 3 (A100) is in MIG mode" in each.gpu_problems[0] for each in found)


def test_offers_itself_once_without_a_gpu(path: Path) -> None:
    says(path, "No devices were found\n")

    (only,) = offers(path)

    assert (only.gpu, only.gpu_problems) == (None, ("nvidia-smi says: No devices were found",))


@pytest.mark.parametrize(
    ("gpu", "kinds"),
    [
        ("A100", ["A100"]),
        ("a100:2", ["A100"]),
        ("A100:40GB:2", ["A100"]),
        ("16GB", ["T4"]),
        ("tesla t4", ["T4"]),
        ("16GB..", ["A100", "T4"]),
        ("T4,A100", ["A100", "T4"]),
        ("{name: [A100, H100], memory: 40GB.., count: 2}", ["A100"]),
        ("{compute_capability: 8.0}", ["A100"]),
        ("{compute_capability: 7.5}", ["A100", "T4"]),
        # Not one of each kind, and not the one in MIG mode.
        ("16GB..:3", []),
        ("A100:3", []),
    ],
)
def test_a_service_gets_gpus_of_one_kind(path: Path, gpu: str, kinds: list[str]) -> None:
    says(path, MIXED)
    text = "type: service\nport: 80\ncommands: [serve]\nresources: {gpu: %s}\n"
    quoted = gpu if gpu.startswith("{") else f"'{gpu}'"
    config = LocalConfig(boot_path=path / "config.json", url="http://127.0.0.1:1")

    found = match(LocalProvider(config).offers(), parse(text % quoted))

    named = [offer.hardware.gpu.name for offer in found.offers if offer.hardware.gpu]
    assert named == kinds
    assert all("GPU 3 (A100) is in MIG mode" in reason for reason in found.refused)


def test_asks_an_older_driver_for_less(path: Path) -> None:
    install(
        path,
        'case "$1" in *compute_cap*|*mig.mode*)\n'
        """  echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2;;\n"""
        "esac\necho '0, Tesla V100-SXM2-16GB, 16160'",
    )

    (kind,) = find().kinds

    assert (kind.name, kind.memory_mib) == ("V100", 16 * 1024)


def test_reads_what_is_said_beside_a_failure(path: Path) -> None:
    install(
        path,
        "echo '0, NVIDIA L4, 23034, [N/A], 8.9'\n"
        "echo 'Unable to determine the device handle for GPU 0000:3C:00.0: GPU is lost.' >&2\n"
        "exit 15",
    )

    assert [kind.name for kind in find().kinds] == ["L4"]


def test_waits_for_no_program_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "SECONDS", 0.3)
    install(path, f'echo $$ >> "{path}/calls"\nsleep 60')
    began = time.monotonic()

    found = [find(), find()]

    assert found == [nvidia.Found(problems=("nvidia-smi did not answer within 0.3 s",))] * 2
    assert time.monotonic() - began < 10
    # The second time it is not asked, and of the first one nothing is left.
    (pid,) = (path / "calls").read_text().split()
    assert not Path(f"/proc/{pid}").exists()


def test_says_that_it_cannot_be_started(path: Path) -> None:
    (path / "nvidia-smi").write_bytes(b"\x7fELF broken")
    (path / "nvidia-smi").chmod(0o755)

    found = find()

    assert found.problems == ("nvidia-smi cannot be started: Exec format error",)


def test_a_host_without_the_program_has_no_gpu(path: Path) -> None:
    assert find() == nvidia.Found()


def test_takes_the_machines_memory_for_a_gpu_that_shares_it(path: Path) -> None:
    says(path, "0, NVIDIA GB10, [N/A], [N/A], 12.1\n")

    (only,) = host.hardware(disk_of=path)

    assert only.gpu is not None
    assert (only.gpu.name, only.gpu.memory_mib) == ("GB10", 128 * 1024)
