"""The gateway's files, each replaced in one step, so that a kill leaves the old or the new one.

| file                   | holds                                              |
|------------------------|----------------------------------------------------|
| table.json             | the last good table                                |
| layout.json            | slots and servers in use                           |
| haproxy.cfg, maps/     | what HAProxy starts from, always in step with it   |
| pages/                 | error pages                                        |
| haproxy.pid, .log      | see `gateway.haproxy.process`                      |
| gateway.lock           | locked while a sidecar runs on this home           |
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from pydantic import ValidationError

from gateway import pages, table
from gateway.errors import BadConfig, BadTable
from gateway.haproxy import config
from gateway.haproxy.process import write_whole
from gateway.layout import Layout
from gateway.picture import MAPS, Map, Picture
from gateway.schema import Table

TABLE, LAYOUT, LOCK = "table.json", "layout.json", "gateway.lock"


class Store:
    """The files of one gateway's home; writes only what changed."""

    def __init__(self, *, home: Path, shape: config.Shape) -> None:
        self.home = home
        self.shape = shape
        self._written: Picture | None = None
        self._table: Table | None = None
        self._layout: Layout | None = None

    def prepare(self) -> None:
        """This function will make the folders and the error pages. Raises OSError."""
        for folder in ("maps", "pages"):
            (self.home / folder).mkdir(exist_ok=True)
        for name, text in pages.files().items():
            write_whole(self.home / "pages" / name, text)

    def load(self) -> tuple[Table, Layout]:
        """This function will read the last table and layout; empty ones where none are readable."""
        try:
            known = table.parse((self.home / TABLE).read_bytes())
        except (OSError, BadTable):
            known = table.EMPTY
        try:
            layout = Layout.model_validate_json((self.home / LAYOUT).read_bytes())
        except (OSError, ValidationError):
            layout = Layout()
        return known, layout

    def write_state(self, *, known: Table, layout: Layout) -> None:
        """This function will keep table and layout for the next start."""
        if known is not self._table:
            write_whole(self.home / TABLE, known.model_dump_json(exclude_defaults=True))
            self._table = known
        if layout != self._layout:
            write_whole(self.home / LAYOUT, layout.model_dump_json())
            self._layout = layout

    def write_haproxy(self, picture: Picture) -> None:
        """This function will write what HAProxy starts from."""
        old = self._written
        for name in MAPS:
            if old is None or old.maps[name] != picture.maps[name]:
                write_whole(self.home / config.map_file(name), map_text(picture.maps[name]))
        if old is None or old.servers != picture.servers:
            text = config.render(shape=self.shape, servers=picture.servers.values())
            write_whole(self.home / config.FILE, text)
        self._written = picture


def map_text(entries: Map) -> str:
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def lock(home: Path) -> int:
    """This function will take the home for this process; raises BadConfig when it is taken."""
    handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadConfig(f"another gateway runs on {home}") from None
    return handle
