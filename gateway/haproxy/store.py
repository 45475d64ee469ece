"""The gateway's files, each replaced in one step, so that a kill leaves the old or the new one.

| file                   | holds                                              |
|------------------------|----------------------------------------------------|
| table.json             | the last good table, or one from before it ...     |
| table.journal          | ... with the updates since, one a line             |
| layout.json            | slots and servers in use                           |
| haproxy.cfg, maps/     | what HAProxy starts from, always in step with it   |
| pages/, *.lua          | error pages, programs; see process.cfg              |
| traffic.json           | see `gateway.traffic.checkpoint`                   |
| limits.json            | see `gateway.traffic.rate_limit_snapshot`          |
| haproxy.pid, .log      | see `gateway.haproxy.process`                      |
| gateway.lock           | locked while a sidecar runs on this home           |
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from pydantic import ValidationError

from gateway import atomic_write
from gateway.errors import BadConfig, BadTable
from gateway.haproxy import config, error_pages
from gateway.schema import Table
from gateway.state import route_table
from gateway.state.desired_state import MAPS, DesiredState, Map
from gateway.state.slots import Layout

log = logging.getLogger(__name__)

TABLE, JOURNAL, LAYOUT, LOCK = "table.json", "table.journal", "layout.json", "gateway.lock"
MOST_JOURNAL_BYTES = 1_000_000


class Store:
    """The files of one gateway's home; writes only what changed."""

    def __init__(self, *, home: Path, shape: config.Shape) -> None:
        self.home = home
        self.shape = shape
        self._written: DesiredState | None = None
        self._layout: Layout | None = None

    def prepare(self) -> None:
        """Make the folders, and what HAProxy reads besides its configuration.

        Raise OSError.
        """
        for folder in ("maps", "pages"):
            (self.home / folder).mkdir(exist_ok=True)
        for name, text in error_pages.files().items():
            atomic_write.write_text(self.home / "pages" / name, text)
        for name, program in config.LUA.items():
            atomic_write.write_text(self.home / name, program)

    def load(self) -> tuple[Table, Layout]:
        """Read the last table and layout; empty ones where none are readable."""
        known = route_table.EMPTY
        try:
            known = route_table.parse((self.home / TABLE).read_bytes())
            for line in (self.home / JOURNAL).read_bytes().splitlines():
                known = route_table.merge(known=known, update=route_table.parse(line))
        except FileNotFoundError:
            log.info("no table is stored yet")
        except (OSError, BadTable) as error:
            # A kill in the middle of a line leaves a last line that is none.
            log.warning("the stored table is not whole: %s", error)
        try:
            layout = Layout.model_validate_json((self.home / LAYOUT).read_bytes())
        except (OSError, ValidationError):
            layout = Layout()
        self.write_table(known)
        return known, layout

    def write_table(self, known: Table) -> None:
        """Keep a whole table for the next start, and empty the journal."""
        atomic_write.write_text(self.home / TABLE, known.model_dump_json(exclude_defaults=True))
        # In this order: the journal's old lines merge into the new table without effect.
        atomic_write.write_text(self.home / JOURNAL, "")

    def note(self, *, update: Table, known: Table) -> None:
        """Keep an update that led to `known` for the next start."""
        journal = self.home / JOURNAL
        if update.whole or journal.stat().st_size > MOST_JOURNAL_BYTES:
            self.write_table(known)
            return
        with journal.open("a") as file:
            file.write(update.model_dump_json(exclude_defaults=True) + "\n")

    def write_layout(self, layout: Layout) -> None:
        """Keep the layout for the next start."""
        if layout != self._layout:
            atomic_write.write_text(self.home / LAYOUT, layout.model_dump_json())
            self._layout = layout

    def write_haproxy(self, desired: DesiredState) -> None:
        """Write what HAProxy starts from."""
        old = self._written
        for name in MAPS:
            if old is None or old.maps[name] is not desired.maps[name]:
                atomic_write.write_text(
                    self.home / config.map_file(name), map_text(desired.maps[name])
                )
        if old is None or old.servers != desired.servers:
            text = config.render(shape=self.shape, servers=desired.servers.values())
            atomic_write.write_text(self.home / config.FILE, text)
        self._written = desired


def map_text(entries: Map) -> str:
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def lock(home: Path) -> int:
    """Take the home for this process; raises BadConfig when it is taken."""
    handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadConfig(f"another gateway runs on {home}") from None
    return handle
