"""The header by which HAProxy and the hold name a slot to each other."""

from __future__ import annotations

import pytest

from gateway.hold.proxy_header import SIGNATURE, BadProxyHeader, RequestIdentity, parse, write

IPV4 = b"\x21\x11"
ADDRESSES = b"\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x50\x1f\x90"


def header(words: bytes, *, before: bytes = b"") -> bytes:
    entry = b"\x05" + len(words).to_bytes(2, "big") + words
    body = ADDRESSES + before + entry
    return SIGNATURE + IPV4 + len(body).to_bytes(2, "big") + body


def test_reads_slot_and_attempt_and_leaves_the_request() -> None:
    found = parse(header(b"s12:41:3") + b"GET / HTTP/1.1\r\n")

    assert found == (
        RequestIdentity(slot=12, attempt=3, caller_address=IPV4 + ADDRESSES, number="41"),
        b"GET / HTTP/1.1\r\n",
    )


def test_reads_the_idempotency_key_of_a_request_that_may_not_run_twice() -> None:
    key = "0d9f1a2b-0000-4000-8000-00000000000a"

    keyed, keyless = parse(header(f"s1:0:0:{key}".encode())), parse(header(b"s1:0:0:"))

    assert keyed is not None
    assert keyless is not None
    assert (keyed[0].idempotency_key, keyless[0].idempotency_key) == (key, "")


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
        header(b"s1:x:0"),
        SIGNATURE + IPV4 + b"\x00\x00",
    ],
)
def test_refuses_whoever_is_not_our_haproxy(data: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        parse(data)


def test_counts_the_attempt_on_the_way_back_and_keeps_the_number() -> None:
    there = parse(header(b"s7:41:0"))
    assert there is not None

    sent = write(there[0], seconds=1.25)

    assert sent == header(b"s7:1.250:1:41")
