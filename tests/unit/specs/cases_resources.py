"""The resource language: ranges, memory, CPUs, GPUs, disk."""

from __future__ import annotations

from typing import Any

from tests.unit.specs.tables import Read, Refused

_ANY_GPU: dict[str, Any] = {
    "vendor": None,
    "name": [],
    "count": {"min": 1, "max": 1},
    "memory_mib": None,
    "total_memory_mib": None,
    "compute_capability": None,
}


def _range(low: int | None, high: int | None) -> dict[str, int | None]:
    return {"min": low, "max": high}


def _cpu(text: str, low: int | None, high: int | None, arch: str | None = None) -> Read:
    meaning = {"resources.cpu": {"arch": arch, "count": _range(low, high)}}
    return f"resources: {{cpu: {text}}}", meaning


def _memory(text: str, low: int | None, high: int | None) -> Read:
    return f"resources: {{memory: {text}}}", {"resources.memory_mib": _range(low, high)}


def _gpu(text: str, **parts: Any) -> Read:
    return f"resources: {{gpu: {text}}}", {"resources.gpu": {**_ANY_GPU, **parts}}


def _bad(key: str, text: str, says: str, path: str | None = None) -> Refused:
    return f"resources: {{{key}: ¦{text}}}", f"resources.{path or key}", says


GB = 1024

READ: list[Read] = [
    ("resources: {}", {"resources.gpu": None, "resources.memory_mib": _range(8 * GB, None)}),
    ("", {"resources.disk_mib": _range(100 * GB, None), "resources.shm_size_mib": None}),
    _cpu("8", 8, 8),
    _cpu('"8"', 8, 8),
    _cpu("2..8", 2, 8),
    _cpu("2..", 2, None),
    _cpu('"..8"', None, 8),
    _cpu('" 2 .. 8 "', 2, 8),
    _cpu("{min: 2}", 2, None),
    _cpu("{max: 8}", None, 8),
    _cpu("{min: 2, max: '8'}", 2, 8),
    _cpu("{min: 2, max: null}", 2, None),
    _cpu("'x86:4'", 4, 4, "x86"),
    _cpu("'arm:2..'", 2, None, "arm"),
    _cpu("'2..:ARM'", 2, None, "arm"),
    _cpu("arm", 2, None, "arm"),
    _cpu("{arch: X86, count: 4}", 4, 4, "x86"),
    _cpu("{count: 4..8}", 4, 8),
    _cpu("{count: {min: 4}}", 4, None),
    _memory("16", 16 * GB, 16 * GB),
    _memory("0.5", 512, 512),
    _memory("16GB", 16 * GB, 16 * GB),
    _memory("16 Gb", 16 * GB, 16 * GB),
    _memory("16gb", 16 * GB, 16 * GB),
    _memory("512MB", 512, 512),
    _memory("1TB", 1024 * GB, 1024 * GB),
    _memory("1.5GB", 1536, 1536),
    _memory("8GB..", 8 * GB, None),
    _memory('"..80GB"', None, 80 * GB),
    _memory("24GB..80GB", 24 * GB, 80 * GB),
    _memory("24..80GB", 24 * GB, 80 * GB),
    _memory("512..1 TB", 512 * GB, 1024 * GB),
    _memory("{min: 8, max: 16GB}", 8 * GB, 16 * GB),
    _memory("0..8GB", 0, 8 * GB),
    ("resources: {shm_size: 16GB}", {"resources.shm_size_mib": 16 * GB}),
    ("resources: {shm_size: 1}", {"resources.shm_size_mib": GB}),
    ("resources: {disk: 200GB}", {"resources.disk_mib": _range(200 * GB, 200 * GB)}),
    ("resources: {disk: 200GB..}", {"resources.disk_mib": _range(200 * GB, None)}),
    ("resources: {disk: {size: 50..100}}", {"resources.disk_mib": _range(50 * GB, 100 * GB)}),
    ("resources: {disk: {size: 50}}", {"resources.disk_mib": _range(50 * GB, 50 * GB)}),
    ("resources: {disk: {min: 50}}", {"resources.disk_mib": _range(50 * GB, None)}),
    _gpu("80GB", memory_mib=_range(80 * GB, 80 * GB)),
    _gpu("24GB..", memory_mib=_range(24 * GB, None)),
    _gpu("80", count=_range(80, 80)),
    _gpu("0", count=_range(0, 0)),
    _gpu("2", count=_range(2, 2)),
    _gpu("'1..8'", count=_range(1, 8)),
    _gpu("A100", name=["A100"]),
    _gpu("a100", name=["a100"]),
    _gpu("'A10,A10G'", name=["A10", "A10G"]),
    _gpu("'A10, A10G'", name=["A10", "A10G"]),
    _gpu("A100:2", name=["A100"], count=_range(2, 2)),
    _gpu("'2:A100'", name=["A100"], count=_range(2, 2)),
    _gpu("A100:40GB:2", name=["A100"], count=_range(2, 2), memory_mib=_range(40 * GB, 40 * GB)),
    _gpu("'2:40GB:A100'", name=["A100"], count=_range(2, 2), memory_mib=_range(40 * GB, 40 * GB)),
    _gpu("40GB..80GB:1..4", count=_range(1, 4), memory_mib=_range(40 * GB, 80 * GB)),
    _gpu("' A100 : 2 '", name=["A100"], count=_range(2, 2)),
    _gpu("nvidia", vendor="nvidia"),
    _gpu("AMD:MI300X:8", vendor="amd", name=["MI300X"], count=_range(8, 8)),
    _gpu("tpu", vendor="google"),
    _gpu("google:v5litepod-8", vendor="google", name=["v5litepod-8"]),
    _gpu("'8:tt'", vendor="tenstorrent", count=_range(8, 8)),
    _gpu("intel:Gaudi3", vendor="intel", name=["Gaudi3"]),
    _gpu("{name: A100}", name=["A100"]),
    _gpu("{name: [A100, H100]}", name=["A100", "H100"]),
    _gpu("{name: 'A100,H100'}", name=["A100", "H100"]),
    _gpu("{count: 1..2}", count=_range(1, 2)),
    _gpu("{memory: 40GB..}", memory_mib=_range(40 * GB, None)),
    _gpu("{total_memory: 160}", total_memory_mib=_range(160 * GB, 160 * GB)),
    _gpu("{compute_capability: 7.5}", compute_capability=[7, 5]),
    _gpu("{compute_capability: '8.0'}", compute_capability=[8, 0]),
    _gpu("{compute_capability: 8}", compute_capability=[8, 0]),
    _gpu("{compute_capability: [7, 5]}", compute_capability=[7, 5]),
    _gpu("{compute_capability: 12.10}", compute_capability=[12, 10]),
    _gpu("{vendor: NVIDIA, count: 1}", vendor="nvidia"),
    _gpu("{}"),
]

REFUSED: list[Refused] = [
    ("resources: ¦80GB", "resources", "expected a mapping with cpu, memory, shm_size, gpu, disk"),
    ("resources: {¦gpus: 1}", "resources.gpus", "use `gpu`"),
    ("resources: {¦memory_mib: 1}", "resources.memory_mib", "unknown key"),
    ("¦gpu: 80GB", "gpu", "did you mean resources.gpu?"),
    _bad("cpu", "4..1", "the range 4..1 runs backwards: write the smaller side first"),
    _bad("cpu", '".."', "a range needs a number on at least one side"),
    _bad("cpu", "1...3", "a whole number of CPUs or a range such as 2..8"),
    _bad("cpu", "'1..2..3'", "or a range such as 2..8"),
    _bad("cpu", "0.5", "a whole number of CPUs from 0 to 1000000, found the number 0.5"),
    _bad("cpu", "0", "expected at least 1 CPU"),
    _bad("cpu", "-2", "found the number -2"),
    _bad("cpu", "arm64:8", "expected x86 or arm"),
    _bad("cpu", "'4:8'", "expected CPUs such as 4, 2.. or arm:4"),
    _bad("cpu", "'arm:'", "expected CPUs such as"),
    _bad("cpu", '""', "expected CPUs such as"),
    _bad("cpu", "true", "found the yes/no value true"),
    _bad("cpu", "[2]", "found a list"),
    _bad("cpu", "{min: 8, max: 2}", "the range 8..2 runs backwards"),
    ("resources: {cpu: {min: ¦x}}", "resources.cpu.min", "a whole number of CPUs"),
    ("resources: {cpu: {count: 2, ¦cores: 2}}", "resources.cpu.cores", "unknown key"),
    ("resources: {cpu: {arch: ¦mips}}", "resources.cpu.arch", "expected x86 or arm"),
    _bad("memory", "16XB", "expected memory in MB, GB or TB such as 512MB or 16GB"),
    _bad("memory", "16GiB", "MB, GB or TB"),
    _bad("memory", "lots", "MB, GB or TB"),
    _bad("memory", "-1", "MB, GB or TB"),
    _bad("memory", "0", "expected more than 0"),
    _bad("memory", "true", "found the yes/no value true"),
    _bad("memory", "80GB..24GB", "runs backwards"),
    _bad("memory", '".."', "at least one side"),
    _bad("memory", "{}", "a range needs min, max or both"),
    _bad("memory", "[8]", "found a list"),
    _bad("memory", "99999999TB", "expected at most 1024TB"),
    _bad("memory", ".inf", "found the number .inf"),
    ("resources: {memory: {min: 1, ¦most: 2}}", "resources.memory.most", "expected min and max"),
    _bad("shm_size", "1GB..2GB", "expected memory in MB, GB or TB"),
    _bad("shm_size", "0", "expected more than 0"),
    _bad("disk", "x", "expected memory in MB, GB or TB"),
    _bad("disk", "{size: 0}", "expected more than 0"),
    _bad("gpu", "'A100:'", "has an empty part beside a colon: remove the colon"),
    _bad("gpu", "':2'", "has an empty part"),
    _bad("gpu", "'A100,:2'", "a GPU name is empty"),
    _bad("gpu", "'A100:H100'", 'gives the name twice, "A100" and "H100": write names with commas'),
    _bad("gpu", "'banana:q'", "memory like 80GB and a count like 2"),
    _bad("gpu", "'2:3'", 'gives the count twice, "2" and "3": each part may stand once'),
    _bad("gpu", "'40GB:80GB'", "gives the memory twice"),
    _bad("gpu", "'nvidia:amd'", "gives the vendor twice"),
    _bad("gpu", "'A100:4..1'", "runs backwards"),
    _bad("gpu", "-1", "a number of GPUs from 0"),
    _bad("gpu", "1.5", "expected GPUs such as 80GB, A100, A100:2"),
    _bad("gpu", "true", "found the yes/no value true"),
    _bad("gpu", '""', "found nothing between the quotes"),
    _bad("gpu", "[A100]", "found a list"),
    _bad("gpu", "'A100;x'", "expected a GPU name such as A100"),
    _bad("gpu", "80GX", "expected memory in MB, GB or TB"),
    ("resources: {gpu: {name: ¦[]}}", "resources.gpu.name", "at least one GPU name"),
    ("resources: {gpu: {vendor: ¦acme}}", "resources.gpu.vendor", "expected a vendor (nvidia"),
    ("resources: {gpu: {compute_capability: ¦x}}", "resources.gpu.compute_capability", "7.5"),
    ("resources: {gpu: {memory: ¦x}}", "resources.gpu.memory", "expected memory"),
    ("resources: {gpu: {¦nme: A100}}", "resources.gpu.nme", "did you mean name?"),
]
