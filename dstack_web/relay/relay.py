"""The door and the links, kept as the table of gateways says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from apps.backends import way_home
from apps.gateways import queries
from apps.instances.boot import relay
from dstack_web.front import config as front
from dstack_web.relay import door
from dstack_web.relay.link import Link, To
from dstack_web.worker import pulse

TICK_SECONDS, LOOK_SECONDS = 0.2, 1.0


class Relay:
    """The door and the links, all of them this process's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._links: dict[str, Link] = {}
        self._door: subprocess.Popen[bytes] | None = None
        self._looked_at = -LOOK_SECONDS

    def run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.wait(TICK_SECONDS):
                pulse.beat()
                self._look()
                self._keep()
        finally:
            for link in self._links.values():
                link.end()
            if self._door is not None:
                self._door.kill()
                self._door.wait()

    def _look(self) -> None:
        """Find out which gateways there are; while the database does not say, they stay."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            close_old_connections()
            wanted = {str(pk): to for pk, to in found().items()}
        except DatabaseError as error:
            sys.stderr.write(f"the database does not answer: {error}\n")
            return
        for name, link in list(self._links.items()):
            if wanted.get(name) != link.to:
                self._links.pop(name).end()
        for name, to in wanted.items():
            if name not in self._links:
                self._links[name] = Link(to, self._folder / name, self._folder / door.SOCKET)

    def _keep(self) -> None:
        if not self._links:
            return
        if self._door is None or self._door.poll() is not None:
            door.write(self._folder, server=settings.DSTACK_AGENT_URL)
            argv = front.argv(self._folder, os.environ, file=door.FILE)
            self._door = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        for link in self._links.values():
            link.keep()


def found() -> dict[int, To]:
    """Return where the machines of gateways are, by the gateway; none where machines call this
    server themselves."""
    if way_home.direct():
        return {}
    wanted = {}
    for gateway in queries.on_machines():
        keys = relay.keys_of(gateway.pk)
        wanted[gateway.pk] = To(
            name=gateway.name,
            host=gateway.address,
            ssh_port=relay.SSH_PORT,
            user=relay.USER,
            host_key=keys.host.public,
            key=keys.server.private,
            port=way_home.RELAY_PORT,
        )
    return wanted
