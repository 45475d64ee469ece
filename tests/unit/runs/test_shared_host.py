"""What is said before more replicas are asked for than a shared host carries."""

from __future__ import annotations

import pytest

from apps.backends.base import Gpu, Hardware, Offer
from apps.runs.planning.shared_host import warning
from apps.specs.parse import parse

SERVICE = "type: service\ncommands: [sleep 1]\nport: 80\n"


def host(*, shared: bool = True, cpus: int = 2, gpus: int = 0) -> Offer:
    gpu = Gpu("A100", 81920, gpus) if gpus else None
    hardware = Hardware(cpus, 24 * 1024, 100_000, gpu)
    return Offer("local", "local", "local", hardware, 0.0, shared=shared)


CASES = [
    ([host()], "", 99, "2 CPUs and 24GB: each gets about 0.02 of a CPU and 248MB"),
    ([host(cpus=1)], "", 5, "1 CPU and 24GB: each gets about 0.2 of a CPU and 4.8GB"),
    ([host(cpus=64)], "", 99, "64 CPUs and 24GB: each gets about 0.65 of a CPU and 248MB"),
    ([host()], "", 8, ""),
    ([host()], "", 1, ""),
    ([host()], "", 0, ""),
    ([host(shared=False)], "", 99, ""),
    ([], "", 99, ""),
    # All replicas go to the first one that takes them.
    (
        [host(), host(shared=False)],
        "",
        9,
        "2 CPUs and 24GB: each gets about 0.22 of a CPU and 2.7GB",
    ),
    ([host(shared=False), host()], "", 99, ""),
    ([host()], "memory: 10GB..", 2, ""),
    ([host()], "memory: 10GB..", 3, "2 CPUs and 24GB: each gets about 8GB of the 10GB it asks for"),
    ([host()], "cpu: 1..", 2, ""),
    ([host()], "cpu: 1..", 3, "2 CPUs and 24GB: each gets about 0.67 of the 1 CPU it asks for"),
]


@pytest.mark.parametrize(("offers", "wishes", "replicas", "said"), CASES)
def test_says_what_each_replica_would_get(
    offers: list[Offer], wishes: str, replicas: int, said: str
) -> None:
    spec = parse(SERVICE + (f"resources: {{{wishes}}}" if wishes else ""))

    expected = f"{replicas} replicas share {said}" if said else ""
    assert warning(offers, spec, replicas) == expected


@pytest.mark.parametrize(
    ("offers", "gpu", "replicas", "has_gpu"),
    [
        ([host(gpus=4)], "A100:2", 2, None),
        ([host(gpus=4)], "A100:2", 3, 2),
        ([host(gpus=4), host(shared=False)], "A100:2", 3, None),
        ([host(gpus=4)], "0", 3, None),
    ],
)
def test_says_how_many_find_a_gpu(
    offers: list[Offer], gpu: str, replicas: int, has_gpu: int | None
) -> None:
    said = warning(offers, parse(f"{SERVICE}resources: {{gpu: {gpu}}}"), replicas)

    expected = f"{has_gpu} of {replicas} replicas have a GPU there: the others wait for one"
    assert said == (expected if has_gpu else "")
