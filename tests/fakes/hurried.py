"""Imported by a Celery worker (`--include`), it knows the shared cloud and waits for seconds where
it would wait for minutes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.backends.registry import PROVIDERS
from apps.core import sweep
from apps.instances import decide as machines
from apps.instances import life, orphans
from apps.runs import decide, placing, steps
from apps.runs import life as runs
from tests.fakes.shared_cloud import SharedCloud

LEASE = timedelta(seconds=2)
# How long something that is at rest is not looked at.
CALM = timedelta(seconds=5)


def hurry() -> None:
    """This function will shorten the times of this process."""
    PROVIDERS[SharedCloud.kind] = SharedCloud
    claim: Any = sweep.claim
    assert claim.__kwdefaults__ == {"lease": sweep.LEASE}
    claim.__kwdefaults__["lease"] = life.CALL_LEASE = LEASE
    life.IDLE_AFTER, orphans.GRACE = timedelta(seconds=1), timedelta(seconds=1)
    machines.RETRY, machines.SILENT = timedelta(seconds=0.1), CALM
    runs.CALM = steps.CALM = CALM
    decide.BACKOFF_FIRST, decide.BACKOFF_MOST = timedelta(seconds=0.2), timedelta(seconds=1)
    placing.SOON = timedelta(seconds=0.5)


hurry()
