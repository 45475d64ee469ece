from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.cli.answers import Offer, Replica, Run
from apps.cli.render.offers_table import offers_table
from apps.cli.render.runs_table import notes, runs_table
from apps.cli.render.table import block, table

NOW = datetime(2030, 1, 1, tzinfo=UTC)
REPLICA = Replica(
    num=0,
    state="running",
    backend="tensordock",
    region="unitedkingdom",
    instance="abc",
    resources="10xCPU, 80GB, 1xA100 (80GB), 100GB (disk)",
    price_usd_per_hour=1.595,
    started_at="2029-12-31T23:55:00Z",
)
RUN = Run(
    name="yellow-cat-1",
    state="running",
    replicas=(REPLICA,),
    created_at="2029-12-31T23:54:00Z",
)


def test_lays_out_a_run_with_one_replica_in_one_row() -> None:
    assert runs_table([RUN], now=NOW).splitlines() == [
        " NAME          BACKEND     REGION         RESOURCES                                  SPOT"
        "  PRICE   STATUS   SUBMITTED",
        " yellow-cat-1  tensordock  unitedkingdom  10xCPU, 80GB, 1xA100 (80GB), 100GB (disk)  no  "
        "  $1.595  running  6 mins ago",
    ]


def test_gives_each_of_several_replicas_a_row() -> None:
    second = Replica(num=1, state="pending")
    run = Run(name="two-1", state="running", replicas=(REPLICA, second), price_usd_per_hour=1.595)

    lines = runs_table([run], now=NOW).splitlines()

    assert [line.split("  ")[0].strip() or line.strip().split("  ")[0] for line in lines[1:]] == [
        "two-1",
        "replica 0",
        "replica 1",
    ]
    assert "pending" in lines[3]


def test_shows_instances_and_errors_when_verbose() -> None:
    run = Run(name="bad-1", state="failed", error="line one\nline two \x1b[31m", replicas=())

    text = runs_table([run], now=NOW, verbose=True)

    assert "INSTANCE" in text
    assert text.splitlines()[1].endswith(r"line one\nline two \x1b[31m")


@pytest.mark.parametrize(
    ("ends_at", "verbose", "said"),
    [
        ("2030-01-01T03:00:00+00:00", True, ["svc: stops by itself in 3 h 0 m (max_duration)"]),
        ("2020-01-02T06:04:05+00:00", True, ["svc: stops by itself in 0 s (max_duration)"]),
        ("2030-01-01T03:00:00+00:00", False, []),
        ("nonsense", True, []),
        (None, True, []),
    ],
)
def test_tells_when_a_run_stops_by_itself(
    ends_at: str | None, verbose: bool, said: list[str]
) -> None:
    run = Run(name="svc", state="running", ends_at=ends_at)

    assert [*notes(run, now=NOW, verbose=verbose)] == said


def test_says_how_many_offers_there_are_beside_those_shown() -> None:
    offer = Offer("aws", "eu-west-1", "t3", "2xCPU, 8GB", False, 0.1, "busy")

    assert offers_table([offer], total=761, max_price=49.159).splitlines() == [
        " #  BACKEND  REGION     INSTANCE  RESOURCES   SPOT  PRICE",
        " 1  aws      eu-west-1  t3        2xCPU, 8GB  no    $0.1   busy",
        "    ...",
        " Shown 1 of 761 offers, $49.159 max",
    ]


def test_aligns_wide_characters() -> None:
    lines = table(("A", "B"), [["日本", "x"], ["abc", "y"]]).splitlines()

    assert lines == [" A     B", " 日本  x", " abc   y"]


def test_aligns_a_block_of_properties() -> None:
    assert block([("Run", "x"), ("Max price", "-")]) == " Run        x\n Max price  -"


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=6))
def test_writes_one_line_for_each_row_whatever_it_holds(rows: list[list[str]]) -> None:
    lines = table(("A", "B", "C"), rows).split("\n")

    assert len(lines) == len(rows) + 1
    assert all(character.isprintable() for line in lines for character in line)
