"""Imported by a Celery worker (`--include`), it knows the shared cloud and waits for seconds where
it would wait for minutes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.backends.registry import PROVIDERS
from apps.core import sweep
from apps.core.backoff import Backoff
from apps.instances import decide as instance_rules
from apps.instances import reconcile
from apps.instances.strays import orphans
from apps.offers import blocks
from apps.runs.control import decide, placement, replica_steps
from apps.runs.control import reconcile as runs
from tests.fakes.shared_cloud import SharedCloud

LEASE = timedelta(seconds=2)
# How long something that is at rest is not looked at.
CALM = timedelta(seconds=5)


def hurry() -> None:
    """Shorten the times of this process."""
    PROVIDERS[SharedCloud.kind] = SharedCloud
    claim: Any = sweep.claim
    assert claim.__kwdefaults__ == {"lease": sweep.LEASE}
    claim.__kwdefaults__["lease"] = reconcile.CALL_LEASE = LEASE
    orphans.GRACE = instance_rules.UNKNOWN_YET = timedelta(seconds=1)
    # A cloud of three offers that refuses some would be blocked as a whole.
    blocks.LASTS.update(dict.fromkeys(blocks.LASTS, timedelta(seconds=1)))
    instance_rules.INSPECTED = timedelta(seconds=0.5)
    instance_rules.BACKOFF, instance_rules.SILENT = (
        Backoff(timedelta(seconds=0.2), timedelta(seconds=6)),
        CALM,
    )
    runs.RESYNC_INTERVAL = replica_steps.RESYNC_INTERVAL = CALM
    decide.BACKOFF = Backoff(timedelta(seconds=0.2), timedelta(seconds=1))
    placement.RETRY_INTERVAL = timedelta(seconds=0.5)


hurry()
