"""What the fake API does to a run: stop, scale, roll back."""

from __future__ import annotations

from typing import Any

from tests.fakes.api_state import FakeApi, Seen, replicas_of


def stop(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    run = fake.run(name)
    run.data["state"] = "stopping"
    run.steps = [{"state": "stopping"}, {"state": "stopped", "replicas": []}]
    return 200, run.data


def scale(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    fake.run(name).data["replicas_wanted"] = replicas_of(seen).min
    return 200, fake.run(name).data


def scale_plan(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    most = replicas_of(seen).max
    said = [f"{most} replicas share 2 CPUs and 24GB"] if most > 8 else []
    return 200, {"before": fake.run(name).data["replicas_wanted"], "warnings": said}


def rollback(fake: FakeApi, seen: Seen, name: str) -> tuple[int, Any]:
    run = fake.run(name)
    now = run.data.get("version", 1)
    run.data |= {"version": now + 1, "fallback_version": now, "state": "updating"}
    return 200, run.data
