"""What tests of the hold share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from tests.fakes.control_plane_gateway import ControlPlane
from tests.integration.gateway.harness import ALICE, Answer, Gateway

HEAD = f"Host: hello.localhost\r\nAuthorization: Bearer {ALICE}\r\n".encode()
MB = 1_000_000


async def is_held(control: ControlPlane, count: int) -> None:
    await control.wait_status(lambda status: status.held.get("e-hello", 0) >= count)


def upload(gateway: Gateway, body: bytes | AsyncIterator[bytes]) -> asyncio.Task[Answer]:
    return asyncio.create_task(gateway.call(token=ALICE, method="PUT", data=body))


async def begun(gateway: Gateway, sent_bytes: int, *, of: int) -> asyncio.StreamWriter:
    """A PUT whose body breaks off."""
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % of)
    writer.write(b"x" * sent_bytes)
    return writer


def held_now(control: ControlPlane) -> int:
    return control.statuses[-1].held.get("e-hello", 0)


def on_disk_bytes(gateway: Gateway) -> int:
    """How much lies in files without a name that the sidecar has open in its home."""
    assert gateway.sidecar is not None
    folder = Path(f"/proc/{gateway.sidecar.pid}/fd")
    return sum(bytes_in(number, gateway.home / "data") for number in folder.iterdir())


def bytes_in(number: Path, home: Path) -> int:
    try:
        name = str(number.readlink())
        return number.stat().st_size if name.startswith(f"{home}/") and "deleted" in name else 0
    except FileNotFoundError:
        return 0


def has_on_disk(gateway: Gateway, least_bytes: int) -> bool:
    return on_disk_bytes(gateway) >= least_bytes
