"""What the proxy before the server lets through, and as what."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.integration.front.stage import Stage, eventually, is_closed

pytestmark = pytest.mark.timeout(90)


def seen(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


def raw(
    stage: Stage, request: bytes, *, source: str = "127.0.0.1", half_close: bool = False
) -> bytes:
    with stage.connect(source) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"])
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([], []),
        ([("x-forwarded-for", "6.6.6.6")], [("x-forwarded-for", "6.6.6.6")]),
        (
            [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "7.7.7.7, 127.0.0.1")],
            [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "7.7.7.7, 127.0.0.1")],
        ),
        ([("x-dstack-peer", "6.6.6.6")], []),
        ([("X-DSTACK-PEER", "6.6.6.6"), ("x-dstack-peer", "7.7.7.7")], []),
        ([("x-dstack-peer", "")], []),
        ([("x_dstack_peer", "6.6.6.6")], [("x_dstack_peer", "6.6.6.6")]),
        ([("forwarded", "for=6.6.6.6")], [("forwarded", "for=6.6.6.6")]),
        ([("x-real-ip", "6.6.6.6")], [("x-real-ip", "6.6.6.6")]),
        ([("connection", "x-dstack-peer, close"), ("x-dstack-peer", "6.6.6.6")], []),
    ],
)
def test_names_who_called_whatever_the_caller_says(
    stage: Stage, source: str, sent: list[tuple[str, str]], kept: list[tuple[str, str]]
) -> None:
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, timeout=10) as client:
        found = seen(client.get(stage.url, headers=sent))

    ours = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}
    assert found["client"] == source
    assert [tuple(pair) for pair in found["headers"] if pair[0] not in ours] == kept


def test_a_proxy_line_names_nobody(stage: Stage) -> None:
    answer = raw(stage, b"PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_listens_on_ipv6(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(bind="::1")
    stage.start()

    assert seen(httpx.get(stage.url))["client"] == "::1"


def test_a_request_of_http_1_0_without_a_host_is_ours(stage: Stage) -> None:
    answer = raw(stage, b"GET / HTTP/1.0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b'["host", "localhost"]' in answer


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /slow?2 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /slow?2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /slow?2 HTTP/1.0\r\n\r\n",
        b"POST /slow?2 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
        b"PUT /slow?2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nbody\r\n0\r\n\r\n",
        b"PUT /slow?2 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999,
    ],
)
def test_answers_who_has_closed_its_sending_side(stage: Stage, request_text: bytes) -> None:
    answer = raw(stage, request_text, half_close=True)

    assert answer.partition(b" ")[2].startswith(b"200 ")
    assert b"many words" in answer


def test_ends_a_stream_whose_caller_left(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"alive" in connection.recv(65536) + connection.recv(65536)

    eventually(lambda: httpx.get(f"{stage.url}/streams").content == b"0")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_passes_every_method(stage: Stage, method: str) -> None:
    answer = httpx.request(method, stage.url)

    assert answer.status_code == 200
    assert method == "HEAD" or seen(answer)["method"] == method
    assert method != "HEAD" or (answer.content == b"" and int(answer.headers["content-length"]) > 9)


def body(megabytes: int) -> Iterator[bytes]:
    for number in range(megabytes):
        yield bytes([number % 251]) * 2**20


@pytest.mark.parametrize("says_its_length", [True, False])
def test_passes_long_uploads_unchanged(stage: Stage, says_its_length: bool) -> None:
    wanted = hashlib.sha256()
    for part in body(200):
        wanted.update(part)
    headers = {"Content-Length": str(200 * 2**20)} if says_its_length else {}

    answer = httpx.post(stage.url, content=body(200), headers=headers, timeout=60)

    assert (seen(answer)["size"], seen(answer)["sha256"]) == (200 * 2**20, wanted.hexdigest())


@pytest.mark.parametrize("size", [5, 100_000])
def test_who_asks_whether_to_go_on_is_told(stage: Stage, size: int) -> None:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n"
    with stage.connect() as connection:
        connection.sendall(head.encode())
        first = connection.recv(65536)
        connection.sendall(b"x" * size)
        then = connection.recv(65536)

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert then.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("kind", "is_packed"),
    [
        ("text/html; charset=utf-8", True),
        ("application/json", True),
        ("text/css", True),
        ("text/javascript", True),
        ("text/event-stream", False),
        ("application/x-ndjson", False),
        ("application/gzip", False),
        ("image/png", False),
    ],
)
def test_packs_what_is_text_for_who_can_unpack(stage: Stage, kind: str, is_packed: bool) -> None:
    url = f"{stage.url}/typed?{kind}"
    with httpx.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    plain = httpx.get(url, headers={"Accept-Encoding": "identity"})

    assert ("content-encoding" in answer.headers) is is_packed
    assert "content-encoding" not in plain.headers
    unpacked = gzip.decompress(packed) if is_packed else packed
    assert len(unpacked) > 2000
    assert not is_packed or len(packed) < len(unpacked) / 3


def test_a_stream_comes_as_it_is_sent(stage: Stage) -> None:
    with httpx.stream("GET", f"{stage.url}/stream", timeout=5) as answer:
        parts = answer.iter_raw()
        began = time.monotonic()
        got = [next(parts) for _ in range(4)]

    assert got == [b": alive\n\n"] * 4
    assert time.monotonic() - began < 3


def test_a_body_of_one_byte_now_and_then_is_ended(stage: Stage) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    with stage.connect() as connection:
        connection.sendall(head)
        began, ended = time.monotonic(), False
        while not ended and time.monotonic() - began < 20:
            try:
                connection.sendall(b"x")
            except OSError:
                break
            ended = is_closed(connection, seconds=0.2)

    assert 1.5 < time.monotonic() - began < 15


def test_who_sends_slowly_is_told_so(stage: Stage) -> None:
    with stage.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx")
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"The request came too slowly. Send it again." in answer


def test_an_upload_on_a_slow_line_goes_on(stage: Stage) -> None:
    """At 100 kB/s, for longer than the time in which a step must come."""

    def slowly() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000
            time.sleep(0.1)

    answer = httpx.post(stage.url, content=slowly(), timeout=30)

    assert seen(answer)["size"] == 400_000


def test_a_short_body_that_does_not_come_is_no_ones_business_but_the_proxys(stage: Stage) -> None:
    head = b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"
    with stage.connect() as connection:
        connection.sendall(head)
        connection.settimeout(30)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "request_timeout"' in answer


def test_half_a_head_and_silence_are_ended(stage: Stage) -> None:
    silent, half = stage.connect(), stage.connect()
    with silent, half:
        half.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        began = time.monotonic()

        assert is_closed(half, seconds=25)
        assert is_closed(silent, seconds=25)

    assert time.monotonic() - began > 10


def test_many_uploads_at_once(stage: Stage) -> None:
    connections = [socket.create_connection(("127.0.0.1", stage.port)) for _ in range(200)]
    for each in connections:
        each.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n")
    for each in connections:
        each.sendall(b"x" * 20000)
        each.settimeout(20)

    answers = [each.recv(100) for each in connections]
    for each in connections:
        each.close()

    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 200"}


FOR_EVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/static/js/chart.f7f74be39d2a.js", FOR_EVER),
        ("/static/vendor/htmx.min.3d6553be6735.js?x=1", FOR_EVER),
        ("/static/vendor/inter-ext.1ad231aac0a8.woff2", FOR_EVER),
        ("/static/js/gone.0123456789ab.js", None),
        ("/static/js/chart.js", "no-cache"),
        ("/static/vendor/licenses.txt", "no-cache"),
        ("/static/js/chart.F7F74BE39D2A.js", "no-cache"),
        ("/static/js/f7f74be39d2a.js", "no-cache"),
        ("/docs/chart.f7f74be39d2a.js", None),
        ("/", None),
    ],
)
def test_lets_browsers_keep_what_changes_its_name(
    stage: Stage, path: str, kept: str | None
) -> None:
    assert httpx.get(f"{stage.url}{path}").headers.get("cache-control") == kept
