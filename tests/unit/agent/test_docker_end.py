from __future__ import annotations

import time
from typing import Any

import pytest

from apps.agent import wire
from apps.agent.docker import end as docker_end
from apps.agent.host import files, procs


def stamp(seconds: float) -> str:
    return files.rfc3339(seconds)


def judged(code: int, *, outage: docker_end.Outage, finished: str, **state: Any) -> tuple[str, str]:
    facts = {"boot_id": procs.boot_id(), "started_at": time.time() - 60}
    said = {"ExitCode": code, "FinishedAt": finished, **state}
    end = docker_end.ended(said, facts, outage, memory_limit_mib=64)
    return end.reason, end.message


@pytest.mark.parametrize("code", [0, 1, 137, 143])
@pytest.mark.parametrize("ended_at", [-5, 0, 20, 42])
def test_an_engine_that_stopped_took_its_containers_with_it(code: int, ended_at: int) -> None:
    now = time.time()
    outage = docker_end.Outage(now - 40, now)

    reason, message = judged(code, outage=outage, finished=stamp(now - 40 + ended_at))

    assert (reason, message) == (wire.REASON_HOST_STOPPED, docker_end.ENGINE_STOPPED)


@pytest.mark.parametrize("ago", [3600, 100])
def test_an_end_long_after_an_outage_is_the_containers_own(ago: int) -> None:
    now = time.time()
    outage = docker_end.Outage(now - ago - 40, now - ago)

    reason, message = judged(0, outage=outage, finished=stamp(now))

    assert (reason, message) == (wire.REASON_EXITED, "exited with code 0 after 60 s")


def test_without_an_outage_an_end_is_the_containers_own() -> None:
    reason, _ = judged(3, outage=docker_end.Outage(), finished="0001-01-01T00:00:00Z")

    assert reason == wire.REASON_EXITED


def test_is_felt_until_the_engine_has_settled() -> None:
    outage = docker_end.Outage()
    assert not outage.is_felt
    outage.begins()
    assert outage.is_on and outage.is_felt
    outage.ends()
    assert not outage.is_on and outage.is_felt
    outage.ended_at = time.time() - docker_end.SETTLE_SECONDS - 1
    assert not outage.is_felt


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:01:00.596667123Z", 60.596667123),
        ("", None),
        ("nonsense", None),
    ],
)
def test_reads_the_engines_times(text: str, seconds: float | None) -> None:
    assert docker_end.seconds_of(text) == seconds
