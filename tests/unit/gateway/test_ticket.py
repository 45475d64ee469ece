"""The header by which HAProxy and the hold name a slot to each other."""

from __future__ import annotations

import pytest

from gateway.hold.ticket import SIGNATURE, BadTicket, Ticket, parse, write

IPV4 = b"\x21\x11"
ADDRESSES = b"\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x50\x1f\x90"


def header(words: bytes, *, before: bytes = b"") -> bytes:
    entry = b"\x05" + len(words).to_bytes(2, "big") + words
    body = ADDRESSES + before + entry
    return SIGNATURE + IPV4 + len(body).to_bytes(2, "big") + body


def test_reads_slot_and_turn_and_leaves_the_request() -> None:
    found = parse(header(b"s12:0:3") + b"GET / HTTP/1.1\r\n")

    assert found == (Ticket(slot=12, turn=3, origin=IPV4 + ADDRESSES), b"GET / HTTP/1.1\r\n")


def test_reads_the_name_of_a_request_that_may_not_run_twice() -> None:
    name = "0d9f1a2b-0000-4000-8000-00000000000a"

    named, nameless = parse(header(f"s1:0:0:{name}".encode())), parse(header(b"s1:0:0:"))

    assert named is not None
    assert nameless is not None
    assert (named[0].once, nameless[0].once) == (name, "")


def test_waits_for_the_rest_of_a_header() -> None:
    whole = header(b"s1:0:0")

    assert [parse(whole[:size]) for size in range(len(whole))] == [None] * len(whole)


def test_passes_over_other_entries() -> None:
    found = parse(header(b"s1:0:0", before=b"\x03\x00\x04abcd"))

    assert found is not None
    assert found[0].slot == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        header(b"openai:0:0"),
        header(b"s1:0"),
        header(b""),
        header(b"s99999999:0:0"),
        header(b"s1:0:0;disable"),
        header(b"s1:0:0:disable"),
        SIGNATURE + IPV4 + b"\x00\x00",
    ],
)
def test_refuses_whoever_is_not_our_haproxy(data: bytes) -> None:
    with pytest.raises(BadTicket):
        parse(data)


def test_counts_the_turn_on_the_way_back() -> None:
    there = parse(header(b"s7:0:0"))
    assert there is not None

    sent = write(there[0], seconds=1.25)
    back = parse(sent)

    assert b"s7:1.250:1" in sent
    assert back == (Ticket(slot=7, turn=1, origin=IPV4 + ADDRESSES), b"")
