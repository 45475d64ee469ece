"""Reading HAProxy's stick tables."""

from __future__ import annotations

import pytest

from gateway.haproxy.tables import rows

ROW = "0x3ee5: key=k:2001:db8::1 use=0 exp=86399516 shard=0 http_req_rate(3000)=2 gpt0=77 gpc0=21"


def test_reads_the_fields_that_are_asked_for() -> None:
    text = f"# table: limits, type: string, size:10240, used:2\n{ROW}\n\n{ROW}\n"

    assert list(rows(text, ["gpc0", "gpt0"])) == [("k:2001:db8::1", (21, 77))] * 2


def test_reads_a_row_without_a_name() -> None:
    assert list(rows("0x1: key= use=0 gpc0=1", ["gpc0"])) == [("", (1,))]


@pytest.mark.parametrize("length", range(len(ROW) - 1))
def test_leaves_out_what_is_cut_off(length: int) -> None:
    assert list(rows(ROW[:length], ["gpc0", "gpt0"])) == []
