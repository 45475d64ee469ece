"""A real agent on a machine that its cloud wants back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.host import files
from tests.fakes.control_plane import TOKEN, ControlPlane
from tests.fakes.imds import Imds
from tests.integration.agent.running import SERVE, RunningAgent, workload

AT = "2026-09-18T08:22:00Z"


@pytest.fixture
def imds() -> Iterator[Imds]:
    fake = Imds()
    yield fake
    fake.stop()


def test_a_notice_is_reported_within_seconds_and_stops_nothing(
    control: ControlPlane, stopped_agent: RunningAgent, imds: Imds, place: Path
) -> None:
    path = place / "boot.json"
    cloud = {"metadata": "aws", "metadata_url": imds.url}
    files.write_json(path, {"url": control.url, "token": TOKEN, "instance_id": "i", **cloud})
    control.instance_id = "i"
    stopped_agent.env["DSTACK_AGENT_CONFIG"] = str(path)
    stopped_agent.start()
    control.assign(workload(SERVE))
    control.wait_for("w1", ready=True)
    before = {report.spot_notice for report in control.reports}

    imds.take_back(AT)
    given_at = time.monotonic()
    control.wait(lambda: control.reports[-1].spot_notice)

    assert time.monotonic() - given_at < 7
    assert before == {""}
    assert control.reports[-1].spot_notice == AT
    assert control.wait_for("w1", ready=True).state == "running"


def test_a_notice_of_google_is_reported_while_there_is_time(
    control: ControlPlane, stopped_agent: RunningAgent, imds: Imds, place: Path
) -> None:
    path = place / "boot.json"
    cloud = {"metadata": "gcp", "metadata_url": imds.url}
    files.write_json(path, {"url": control.url, "token": TOKEN, "instance_id": "i", **cloud})
    control.instance_id = "i"
    stopped_agent.env["DSTACK_AGENT_CONFIG"] = str(path)
    stopped_agent.start()
    control.assign(workload(SERVE))
    control.wait_for("w1", ready=True)

    imds.preempted = "TRUE"
    given_at = time.monotonic()
    control.wait(lambda: control.reports[-1].spot_notice)

    assert time.monotonic() - given_at < 5
    assert control.wait_for("w1", ready=True).state == "running"
