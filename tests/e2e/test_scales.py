"""A service follows its load: asleep, awake, many, fewer, asleep; no request fails on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import load as loads
from tests.e2e import stack as stacks
from tests.e2e.load import Load
from tests.e2e.services import WHO
from tests.e2e.stack import Stack, eventually

# 50 requests a second need four replicas of these.
SPEC = """type: service
name: who
commands: [python3 who.py]
port: 8000
replicas: 0..4
scaling: {metric: rps, target: 13, window: 20s, scale_down_delay: 8s, scale_to_zero_delay: 8s}
"""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = stacks.new(tmp_path)
    yield running
    if running.is_alive():
        running.stop()


def wanted(stack: Stack) -> int:
    found: int = stack.api("GET", "/projects/main/runs/who")["replicas_wanted"]
    return found


def test_no_request_fails_from_zero_to_four_and_back(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "TIMEOUT_SECONDS", 60.0)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "who.py").write_text((WHO / "who.py").read_text())
    (folder / ".dstack.yml").write_text(SPEC)
    stack.dstack("run", ".", "-y", "-d", cwd=folder)
    assert wanted(stack) == 0

    headers = {"Host": f"who.localhost:{stack.gateway_port}", **stack.bearer()}
    with Load(f"http://127.0.0.1:{stack.gateway_port}/", headers) as load:
        eventually(lambda: wanted(stack) == 4, seconds=60, every=0.5)
    eventually(lambda: wanted(stack) == 0, seconds=90, every=0.5)

    assert load.answers
    assert not load.failed
    decided = stack.api("GET", "/projects/main/runs/who/decisions")["items"][::-1]
    numbers = [one["wanted"] for one in decided if one["wanted"] != one["before"]]
    assert (numbers[0], max(numbers), numbers[-1]) == (1, 4, 0)
    # The gateway's word of a held request and its next count race: either one wakes the service.
    assert decided[0]["reason"] in ("0 -> 1: a request is held", "0 -> 1: 1 request is held")
    assert any("rps over" in one["reason"] and "target 13" in one["reason"] for one in decided)
    points = stack.api("GET", "/projects/main/runs/who/metrics?range=5m")["points"]
    assert sum(point["requests"]["2xx"] for point in points) == pytest.approx(
        len(load.answers), rel=0.02
    )
