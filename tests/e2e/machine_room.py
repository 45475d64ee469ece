"""The machines behind the emulator of AWS: each one boots for real what it was given."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.instances.virtual_machines import Cloud, Machine

EVERY_SECONDS = 0.2


class Room:
    """Boots what runs at AWS and ends what was ended there; a machine that went down by itself
    is terminated there too, as AWS was asked to do with it.
    """

    def __init__(self, cloud: Cloud, *regions: str) -> None:
        self.cloud, self.regions = cloud, regions
        self.machines: dict[str, Machine] = {}
        self.failures: list[str] = []
        self.is_closed = threading.Event()

    def run(self) -> None:
        while not self.is_closed.wait(EVERY_SECONDS):
            for known in self._known():
                try:
                    self._follow(known)
                except Exception as error:  # told by the test, which looks at them at its end
                    self.failures.append(repr(error))

    def _known(self) -> list[Any]:
        accounts = importlib.import_module("moto.ec2.models").ec2_backends
        return [
            found
            for account in list(accounts.values())
            for region in self.regions
            for found in account[region].all_instances()
        ]

    def _follow(self, known: Any) -> None:
        machine, is_running = self.machines.get(known.id), known.state == "running"
        if machine is None:
            if is_running:
                user_data = known.user_data.decode()
                self.machines[known.id] = self.cloud.boot(known.id, user_data)
        elif is_running and not machine.is_up:
            known.terminate()
        elif known.state == "terminated" and machine.is_up:
            machine.cloud.docker("kill", machine.name, check=False)


@contextmanager
def opened(cloud: Cloud, *regions: str) -> Iterator[Room]:
    room = Room(cloud, *regions)
    thread = threading.Thread(target=room.run, daemon=True)
    thread.start()
    try:
        yield room
    finally:
        room.is_closed.set()
        thread.join()
