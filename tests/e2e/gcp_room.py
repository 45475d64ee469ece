"""The machines behind the fake Google Cloud: each one boots for real what it was given."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.machine_room import Room
from tests.fakes.gcp_world import World
from tests.integration.instances.virtual_machines import Cloud


@dataclass(frozen=True)
class Known:
    """A machine as the room looks at it. One that went down by itself is stopped at Google."""

    world: World
    id: str
    state: str
    user_data: bytes = b""

    def terminate(self) -> None:
        self.world.take_back(self.id)


class GoogleRoom(Room):
    def __init__(self, cloud: Cloud, world: World) -> None:
        super().__init__(cloud)
        self.world = world

    def _known(self) -> list[Any]:
        with self.world.lock:
            self.world.settle()
            rows = {name: dict(row) for (_, name), row in self.world.instances.items()}
        gone = [Known(self.world, name, "terminated") for name in self.machines if name not in rows]
        return [*gone, *(self._seen(name, row) for name, row in rows.items())]

    def _seen(self, name: str, row: dict[str, Any]) -> Known:
        items = {item["key"]: item["value"] for item in row["metadata"]["items"]}
        state = row["status"].lower()
        return Known(self.world, name, state, items["user-data"].encode())


@contextmanager
def opened(cloud: Cloud, world: World) -> Iterator[GoogleRoom]:
    room = GoogleRoom(cloud, world)
    thread = threading.Thread(target=room.run, daemon=True)
    thread.start()
    try:
        yield room
    finally:
        room.is_closed.set()
        thread.join()
