from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent.server import log_shipping
from apps.agent.workloads import output


class Server:
    """What the wire promises of a server: it stores each line once and says which is next."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def take(self, shipment: log_shipping.Shipment, *, count: int = 10**6) -> bool:
        log = shipment.next()
        if log is None:
            return False
        for line in log.lines[:count]:
            if line.seq == len(self.lines):
                self.lines.append(line.text)
        shipment.acknowledged(len(self.lines))
        return True


@pytest.fixture
def writer(tmp_path: Path) -> output.Writer:
    return output.Writer(tmp_path / "output", max_bytes=2000)


def write(writer: output.Writer, first: int, last: int) -> None:
    for n in range(first, last):
        writer.append([(n, f"line {n}")])


def lines(first: int, last: int) -> list[str]:
    return [f"line {n}" for n in range(first, last)]


def test_sends_everything_once_in_order(tmp_path: Path, writer: output.Writer) -> None:
    server, shipment = Server(), log_shipping.Shipment("w", tmp_path)
    write(writer, 0, 30)
    server.take(shipment)
    write(writer, 30, 60)
    server.take(shipment)

    assert server.take(shipment) is False
    assert server.lines == lines(0, 60)


def test_sends_the_rest_of_a_batch_again(tmp_path: Path, writer: output.Writer) -> None:
    server, shipment = Server(), log_shipping.Shipment("w", tmp_path)
    write(writer, 0, 50)

    while server.take(shipment, count=7):
        pass

    assert server.lines == lines(0, 50)


def test_goes_on_after_a_restart_that_lost_the_answer(
    tmp_path: Path, writer: output.Writer
) -> None:
    server = Server()
    write(writer, 0, 20)
    server.take(log_shipping.Shipment("w", tmp_path))
    write(writer, 20, 40)
    sent = log_shipping.Shipment("w", tmp_path).next()
    assert sent is not None
    server.lines += [line.text for line in sent.lines]  # stored, but the agent died meanwhile

    shipment = log_shipping.Shipment("w", tmp_path)
    while server.take(shipment):
        pass

    assert server.lines == lines(0, 40)


def test_says_what_was_dropped_while_the_server_was_away(
    tmp_path: Path, writer: output.Writer
) -> None:
    server, shipment = Server(), log_shipping.Shipment("w", tmp_path)
    write(writer, 0, 10)
    server.take(shipment)

    write(writer, 10, 1000)
    while server.take(shipment):
        pass

    oldest = shipment.reader.oldest()
    note = f"[{oldest - 10} older lines were dropped on the host]"
    assert server.lines == [*lines(0, 10), note, *lines(oldest, 1000)]


def test_asks_what_the_server_has_before_it_gives_lines_up(
    tmp_path: Path, writer: output.Writer
) -> None:
    server, shipment = Server(), log_shipping.Shipment("w", tmp_path)
    write(writer, 0, 10)
    sent = shipment.next()
    assert sent is not None
    server.lines += [line.text for line in sent.lines]  # the answer was lost
    write(writer, 10, 1000)

    while server.take(shipment):
        pass

    dropped = shipment.reader.oldest() - 10
    assert server.lines[9:11] == ["line 9", f"[{dropped} older lines were dropped on the host]"]


def test_counts_lines_that_are_dropped_while_it_says_so(
    tmp_path: Path, writer: output.Writer
) -> None:
    server, shipment = Server(), log_shipping.Shipment("w", tmp_path)
    write(writer, 0, 1000)
    shipment.acknowledged(0)
    shipment.next()
    write(writer, 1000, 2000)

    while server.take(shipment):
        pass

    oldest = shipment.reader.oldest()
    assert server.lines[0] == f"[{oldest} older lines were dropped on the host]"
    assert server.lines[1:] == lines(oldest, 2000)


def test_sends_again_what_a_server_lost(tmp_path: Path, writer: output.Writer) -> None:
    server, shipment = Server(), log_shipping.Shipment("w", tmp_path)
    write(writer, 0, 50)
    server.take(shipment)
    del server.lines[20:]
    write(writer, 50, 60)

    while server.take(shipment):
        pass

    assert server.lines == lines(0, 60)


def test_bounds_a_batch(
    tmp_path: Path, writer: output.Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "LINES", 7)
    write(writer, 0, 20)

    log = log_shipping.Shipment("w", tmp_path).next()

    assert log is not None
    assert [line.seq for line in log.lines] == list(range(7))


def test_leaves_a_line_that_is_being_written(tmp_path: Path, writer: output.Writer) -> None:
    write(writer, 0, 2)
    path = output.files(tmp_path / "output")[0]
    path.write_bytes(path.read_bytes() + b"3 half a li")

    log = log_shipping.Shipment("w", tmp_path).next()

    assert log is not None
    assert [line.text for line in log.lines] == lines(0, 2)
