from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from apps.agent.wire import ProbeSpec
from apps.agent.workloads import probe


class Target(BaseHTTPRequestHandler):
    """Answers /200 with 200 and so on; remembers what came."""

    seen: list[tuple[str, str, str | None, bytes]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("X-Key"), body))
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[HTTPServer]:
    class OwnTarget(Target):
        seen = []

    server = HTTPServer(("127.0.0.1", 0), OwnTarget)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def address(server: HTTPServer) -> str:
    return f"127.0.0.1:{server.server_address[1]}"


def http(path: str, **fields: Any) -> ProbeSpec:
    return ProbeSpec(kind="http", url=path, **fields)


def closed_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as trial:
        return f"127.0.0.1:{trial.getsockname()[1]}"


def test_sends_what_the_spec_says(target: HTTPServer) -> None:
    spec = http("/204", method="POST", headers=[("X-Key", "v")], body="é")

    probe.ask(spec, address=address(target))

    assert target.RequestHandlerClass.seen == [("POST", "/204", "v", "é".encode())]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [300, 301, 404, 500, 503])
def test_wants_a_2xx_answer(target: HTTPServer, status: int) -> None:
    with pytest.raises(probe.Failed, match=f"GET /{status}: answered {status}"):
        probe.ask(http(f"/{status}"), address=address(target))


@pytest.mark.parametrize("status", [308, 400, 404, 405, 422])
def test_may_take_a_refusal_for_an_answer(target: HTTPServer, status: int) -> None:
    one = probe.Probe(http(f"/{status}", accepts_refusal=True))

    one.run(address=address(target), age_seconds=0)

    assert one.ready
    assert one.message.startswith(f"GET /{status}: answered {status} ")
    assert one.message.endswith("; a server that answers counts as ready")


def test_takes_no_server_error_for_a_refusal(target: HTTPServer) -> None:
    with pytest.raises(probe.Failed, match="answered 503"):
        probe.ask(http("/503", accepts_refusal=True), address=address(target))


@pytest.mark.parametrize(
    "spec",
    [
        http("/a b\r\nX: y"),
        http("/200", headers=[("A\r\nB", "c")]),
        http("/200", headers=[("A", "b\r\nC: d")]),
        http("/200", method="GET / HTTP/1.1\r\n"),
    ],
)
def test_fails_on_a_probe_that_cannot_be_sent(target: HTTPServer, spec: ProbeSpec) -> None:
    with pytest.raises(probe.Failed):
        probe.ask(spec, address=address(target))


def test_says_that_nothing_listens() -> None:
    with pytest.raises(probe.Failed, match="Connection refused"):
        probe.ask(ProbeSpec(), address=closed_address())


def test_says_that_no_answer_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(probe.Failed, match="no answer within 0.05 s"):
            probe.ask(http("/200", timeout_seconds=0.05), address=where)


def test_sees_that_a_forwarder_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as forwarder:
        where = f"127.0.0.1:{forwarder.getsockname()[1]}"
        threading.Thread(target=lambda: forwarder.accept()[0].close(), daemon=True).start()

        with pytest.raises(probe.Failed, match="nothing listens in the container yet"):
            probe.ask(ProbeSpec(), address=where, forwarded=8000)


def test_waits_for_a_forwarder_that_hangs_up_late_where_nobody_is_seen_to_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as forwarder:
        where = f"127.0.0.1:{forwarder.getsockname()[1]}"

        def hang_up_late() -> None:
            connection, _ = forwarder.accept()
            with connection:
                over.wait(10)

        over = threading.Event()
        threading.Thread(target=hang_up_late, daemon=True).start()
        threading.Timer(3 * probe.HANG_UP_SECONDS, over.set).start()
        with pytest.raises(probe.Failed, match="nothing listens in the container yet"):
            probe.ask(ProbeSpec(), address=where, forwarded=8000, listens=lambda: False)


def test_does_not_wait_where_somebody_is_seen_to_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as forwarder:
        where = f"127.0.0.1:{forwarder.getsockname()[1]}"
        began = time.monotonic()

        assert probe.ask(ProbeSpec(), address=where, forwarded=8000, listens=lambda: True) == ""
        assert time.monotonic() - began < probe.DOUBTED_SECONDS


def test_is_ready_after_enough_successes_in_a_row(target: HTTPServer) -> None:
    one = probe.Probe(http("/200", ready_after=3))

    answers = []
    for _ in range(3):
        one.run(address=address(target), age_seconds=0)
        answers.append(one.ready)

    assert answers == [False, False, True]


def test_stays_ready_through_failures_that_pass(target: HTTPServer) -> None:
    one = probe.Probe(http("/200"))
    one.run(address=address(target), age_seconds=0)
    gone = closed_address()

    answers = []
    for where in (gone, gone, address(target), gone, gone, gone):
        one.run(address=where, age_seconds=0)
        answers.append(one.ready)

    assert answers == [True, True, True, True, True, False]
    assert "Connection refused" in one.message


def test_is_not_asked_again_once_ready_where_that_is_enough(target: HTTPServer) -> None:
    probes = probe.Probes([http("/200", until_ready=True)])

    probes.run(address=address(target), age_seconds=0)

    assert probes.ready
    assert probes.seconds_until_due() == float("inf")


def test_is_ready_when_all_probes_are(target: HTTPServer) -> None:
    probes = probe.Probes([http("/200"), http("/500")])

    probes.run(address=address(target), age_seconds=0)

    assert probes.ready is False
    assert probes.message == "GET /500: answered 500 Internal Server Error"


def test_says_what_fails_before_what_was_accepted(target: HTTPServer) -> None:
    chat = http("/404", accepts_refusal=True, until_ready=True)
    probes = probe.Probes([chat, http("/500")])

    probes.run(address=address(target), age_seconds=0)

    assert probes.message == "GET /500: answered 500 Internal Server Error"


def test_opens_the_port_where_no_probe_is_given(target: HTTPServer) -> None:
    probes = probe.Probes([])

    assert probes.ready is None
    probes.run(address=address(target), age_seconds=0)

    assert probes.ready is True


@pytest.mark.parametrize(("age", "pause"), [(0, 0.05), (30, 0.1), (200, 0.25), (1200, 0.5)])
def test_asks_less_often_the_longer_a_start_takes(age: float, pause: float) -> None:
    assert probe.starting_pause(age) == pause


@pytest.mark.parametrize(
    ("wanted", "given", "words"),
    [
        (8000, None, "8000"),
        (8000, 8000, "8000"),
        (8000, "8000", "8000"),
        (8000, 27443, "8000 ($PORT, which is 27443 here)"),
    ],
)
def test_knows_a_port_by_the_number_of_the_service_file(
    wanted: int, given: int | str | None, words: str
) -> None:
    assert probe.port_words(wanted, given) == words


@pytest.mark.parametrize(
    ("forwarded", "said"), [(None, "port 8000 ($PORT, which is "), (8000, "port 8000: ")]
)
def test_names_no_port_that_a_person_did_not_write(forwarded: int | None, said: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(probe.Failed) as failed:
            probe.ask(ProbeSpec(), address=address, forwarded=forwarded, wanted=8000)

    assert str(failed.value).startswith(said)
