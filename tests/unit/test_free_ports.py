"""Tests beside one another never get the same port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.free_ports import free_port

ROOT = Path(__file__).parents[2]
FEW = range(19_000, 19_060)
ASKS = f"from tests.free_ports import free_port\nprint(*(free_port({FEW!r}) for _ in range(20)))"


def test_no_port_is_given_twice() -> None:
    ours = [free_port(FEW) for _ in range(20)]

    asked = subprocess.run(
        [sys.executable, "-c", ASKS], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert len({*ours, *map(int, asked.stdout.split())}) == 40
