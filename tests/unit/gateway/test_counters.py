"""Reading HAProxy's table of counts."""

from __future__ import annotations

from gateway.traffic.counters import WRAPS_AT, Counters, Row, Values, parse

SHOWN = """\
# table: counts, type: string, size:204800, used:2
0x22d942c0: key=e-hello:k-1 use=1 exp=86399901 shard=0 gpt0=7 gpt1=3 conn_cur=2 \
http_req_rate(10000)=4 bytes_in_cnt=346 bytes_out_cnt=480 gpc0=0 gpc1=4 gpc2=1 gpc3=2 gpc4=0 gpc5=3
0x22d943c0: key=e-hello: use=0 exp=1 shard=0 gpt0=0 gpt1=0 conn_cur=0 \
http_req_rate(10000)=0 bytes_in_cnt=1 bytes_out_cnt=2 gpc0=0 gpc1=0 gpc2=0 gpc3=9 gpc4=0 gpc5=0

"""
HELLO = ("e-hello", "k-1")


def values(*, ok: int = 0, said: int = 0, tokens: int = 0, in_bytes: int = 0) -> Values:
    return (0, ok, 0, 0, 0, said, tokens, 0, in_bytes, 0)


def row(found: Values, in_flight: int = 0) -> Row:
    return Row(*HELLO, found, in_flight)


def test_reads_rows() -> None:
    assert list(parse(SHOWN)) == [
        Row("e-hello", "k-1", (0, 4, 1, 2, 0, 3, 7, 3, 346, 480), 2),
        Row("e-hello", "", (0, 0, 0, 9, 0, 0, 0, 0, 1, 2), 0),
    ]


def test_reads_nothing_from_what_is_no_table() -> None:
    assert list(parse("Unknown table\n\n")) == []


def test_says_only_what_changed() -> None:
    counters = Counters()

    first = counters.take([row(values(ok=1))], is_whole=True)
    again = counters.take([row(values(ok=1))], is_whole=False)
    more = counters.take([row(values(ok=3))], is_whole=False)

    assert (first, again, more) == ({HELLO: values(ok=1)}, {}, {HELLO: values(ok=3)})


def test_knows_what_is_in_flight_now() -> None:
    counters = Counters()
    counters.take([row(values(ok=1), in_flight=2)], is_whole=True)
    busy = dict(counters.in_flight)

    counters.take([], is_whole=False)

    assert (busy, counters.in_flight) == ({HELLO: 2}, {})


def test_adds_tokens_that_haproxy_does_not_know_of() -> None:
    counters = Counters()
    counters.take([row(values(ok=5, said=1, tokens=1))], is_whole=True)
    counters.add_tokens(HELLO, tokens_in=7, tokens_out=0)

    changed = counters.take([], is_whole=False)

    assert (changed, counters.take([], is_whole=False)) == (
        {HELLO: values(ok=5, said=2, tokens=8)},
        {},
    )
    assert counters.carried == {HELLO: values(said=1, tokens=7)}


def test_carries_a_row_that_haproxy_dropped() -> None:
    counters = Counters()
    counters.take([row(values(ok=5, in_bytes=50))], is_whole=True)
    counters.take([], is_whole=True)

    changed = counters.take([row(values(ok=2, in_bytes=60))], is_whole=False)

    assert changed == {HELLO: values(ok=7, in_bytes=110)}


def test_carries_a_row_that_began_again_between_two_scrapes() -> None:
    counters = Counters()
    counters.take([row(values(ok=5, in_bytes=50))], is_whole=True)

    changed = counters.take([row(values(ok=1, in_bytes=10))], is_whole=False)

    assert changed == {HELLO: values(ok=6, in_bytes=60)}


def test_goes_on_when_a_narrow_field_turns_over() -> None:
    counters = Counters()
    counters.take([row(values(ok=9, tokens=WRAPS_AT - 1, in_bytes=50))], is_whole=True)

    changed = counters.take([row(values(ok=10, tokens=4, in_bytes=60))], is_whole=False)

    assert changed == {HELLO: values(ok=10, tokens=WRAPS_AT + 4, in_bytes=60)}


def test_goes_on_with_what_an_earlier_sidecar_carried() -> None:
    counters = Counters(carried={HELLO: values(ok=100)})

    changed = counters.take([row(values(ok=1))], is_whole=True)

    assert changed == {HELLO: values(ok=101)}
    assert counters.sums() == {HELLO: values(ok=101)}
