"""What tests of the hold share."""

from __future__ import annotations

from tests.fakes.control_plane_gateway import ControlPlane
from tests.integration.gateway.harness import ALICE

HEAD = f"Host: hello.localhost\r\nAuthorization: Bearer {ALICE}\r\n".encode()


async def is_held(control: ControlPlane, count: int) -> None:
    await control.wait_status(lambda status: status.held.get("e-hello", 0) >= count)
