"""What the check of a host says, one sentence for each thing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.hosts.work import findings

GOOD: dict[str, Any] = {
    "cpus": 8, "memory_mib": 16000, "disk_mib": 90000, "free_mib": 50000, "arch": "x86",
    "gpus": None, "images": None, "pythons": ["3.11"], "shells": ["sh"], "systemd": True,
    "ssh": True, "server": "", "gateways": {"gate:2222": ""}, "installed_for": "", "time": 1000.0,
}  # fmt: skip


def said(root: str = "yes", python: str = "/usr/bin/python3", **more: Any) -> list[findings.Step]:
    found = json.dumps({**GOOD, **more})
    output = f"Welcome!\ndstack:system Linux\ndstack:root {root}\ndstack:python {python}\n"
    facts = findings.read(f"{output}dstack:python3 Python 3.7.3\ndstack:found {found}\nbye\n")
    return findings.steps(facts, user="ann", now=1000.0)


def test_finds_nothing_wrong_with_a_good_host() -> None:
    assert [step for step in said() if step.state == findings.FAILED] == []


@pytest.mark.parametrize(
    "change, words",
    [
        ({"root": "no"}, "NOPASSWD"),
        ({"python": ""}, "found Python 3.7.3"),
        ({"python": "/usr/bin/py$(id)"}, "Python 3.9"),
        ({"free_mib": 100}, "free some"),
        ({"memory_mib": 64}, "of memory"),
        ({"time": 8000.0}, "7,000 s ahead of"),
        ({"time": 0.0}, "behind this server's"),
        ({"ssh": False}, "openssh-client"),
        ({"server": "timed out"}, "does not reach it: timed out"),
        ({"gateways": {"gate:2222": "refused"}}, "gate:2222, where tunnels end: refused"),
    ],
)
def test_says_what_is_missing(change: dict[str, Any], words: str) -> None:
    failed = [step.text for step in said(**change) if step.state == findings.FAILED]

    assert len(failed) == 1
    assert words in failed[0]


@pytest.mark.parametrize(
    "output", ["", "dstack:found {", "dstack:found []", "dstack:system", "dstack: x", "\x00"]
)
def test_bears_any_output(output: str) -> None:
    (step, *_) = findings.steps(findings.read(output), user="ann", now=0.0)

    assert step.state == findings.FAILED


def test_names_gpus_and_what_is_wrong_with_them() -> None:
    good = "0, NVIDIA H200, 143771, Disabled, 9.0\n"
    (step,) = [step for step in said(gpus=good) if step.name == "GPUs"]

    assert step.text.startswith("1 x H200")
    (step,) = [step for step in said(gpus="Failed to initialize NVML") if step.name == "GPUs"]
    assert step.state == findings.WARNED
