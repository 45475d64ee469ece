"""What is kept for the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import BadConfig
from gateway.haproxy import store
from gateway.haproxy.config import Shape
from gateway.haproxy.store import JOURNAL, TABLE, Store
from gateway.schema import Table
from gateway.state import route_table
from gateway.state.desired_state import DesiredStateBuilder
from gateway.state.slots import Layout
from tests.fakes.control_plane_gateway import service

SHAPE = Shape(bind=("127.0.0.1",), port=8080, slots=3, threads=1)


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    found = Store(home=tmp_path, shape=SHAPE)
    found.prepare()
    found.load()
    return found


def update(version: int, *names: str, whole: bool = False) -> Table:
    endpoints = [service(name).model_copy(update={"version": version}) for name in names]
    return Table(version=version, whole=whole, gateway="g", endpoints=endpoints)


def take(kept: Store, *updates: Table) -> Table:
    known, _ = kept.load()
    for each in updates:
        known = route_table.merge(known=known, update=each)
        kept.note(update=each, known=known)
    return known


def test_finds_all_updates_again(kept: Store) -> None:
    known = take(kept, update(1, "a", whole=True), update(2, "b"), update(3, "a"))

    assert kept.load()[0] == known


def test_keeps_what_came_before_a_torn_line(kept: Store) -> None:
    known = take(kept, update(1, "a", whole=True), update(2, "b"))
    with (kept.home / JOURNAL).open("a") as file:
        file.write('{"version": 3, "who')

    assert kept.load()[0] == known


def test_writes_the_table_whole_when_the_journal_is_long(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_JOURNAL_BYTES", 10)
    known = take(kept, update(1, "a", whole=True), update(2, "b"), update(3, "c"))

    assert (kept.home / JOURNAL).read_text() == ""
    assert route_table.parse((kept.home / TABLE).read_bytes()) == known


def test_starts_empty_where_nothing_can_be_read(kept: Store) -> None:
    (kept.home / TABLE).write_text("{")

    assert kept.load() == (route_table.EMPTY, Layout())


def test_writes_only_the_maps_that_changed(kept: Store) -> None:
    builder, known = DesiredStateBuilder(), update(1, "a", whole=True)
    kept.write_haproxy(builder.build(table=known, layout=Layout(slots={"e-a": 1}), now=0))
    keys = (kept.home / "maps" / "keys.map").stat().st_ino
    kept.write_haproxy(builder.build(table=known, layout=Layout(slots={"e-a": 2}), now=0))

    assert "a.localhost s2:" in (kept.home / "maps" / "hosts.map").read_text()
    assert (kept.home / "maps" / "keys.map").stat().st_ino == keys


def test_gives_a_home_to_one_sidecar_at_a_time(tmp_path: Path) -> None:
    store.lock(tmp_path)

    with pytest.raises(BadConfig, match="another gateway"):
        store.lock(tmp_path)
