"""What the bounds of a service leave for a body that waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.haproxy.runtime import Runtime
from gateway.hold.proxy_header import RequestIdentity
from gateway.hold.request import HeldRequest
from gateway.hold.service import HoldService
from gateway.schema import Endpoint, Hold


class RouteLookup:
    """One service in slot 1, with a megabyte of disk."""

    def endpoint_in(self, slot: int) -> Endpoint | None:
        return Endpoint(id="e-a", version=1, hold=Hold(max_disk_mib=1)) if slot == 1 else None

    def has_servers(self, slot: int) -> bool:
        return False


@pytest.mark.parametrize(
    ("slot", "attempt", "more_bytes", "has_disk"),
    [
        (1, 0, 2**20, True),
        (1, 0, 2**20 + 1, False),
        # Of a service that is gone; the default is a gigabyte.
        (2, 0, 2**30, True),
        # It came back from a replica, and is there twice for a while.
        (1, 1, 2**21, True),
        (1, 1, 2**21 + 1, False),
    ],
)
def test_bounds_the_disk(slot: int, attempt: int, more_bytes: int, has_disk: bool) -> None:
    hold = HoldService(runtime=Runtime(Path("none")), routes=RouteLookup(), on_change=lambda: None)
    held = HeldRequest(hold)
    held.identity = RequestIdentity(slot=slot, attempt=attempt, caller_address=b"")

    assert hold.has_disk(held, more_bytes) is has_disk
