from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.agent.workloads import output


def written(folder: Path) -> list[str]:
    lines = []
    for path in output.files(folder):
        lines += [output.parse(raw)[1] for raw in path.read_bytes().splitlines()]
    return lines


def writer(folder: Path, *, max_bytes: int = 10**6) -> output.Writer:
    return output.Writer(folder, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\nc"], ["ab", "c"]),
        ([b"\n\n"], ["", ""]),
        ([b"caf\xc3", b"\xa9\n"], ["café"]),
        ([b"\xff\x00x\r\n"], ["\ufffd\ufffdx"]),
        ([b"no end"], ["no end"]),
        ([], []),
    ],
)
def test_splits_what_a_process_writes(pieces: list[bytes], lines: list[str]) -> None:
    splitter = output.Splitter()

    found = [line for piece in pieces for line in splitter.feed(piece)] + splitter.flush()

    assert found == lines


@pytest.mark.parametrize("piece_bytes", [1000, 65536, 500000])
def test_splits_a_long_line_at_borders_of_characters(piece_bytes: int) -> None:
    data = "€".encode() * 100000 + b"\nshort\n"
    splitter = output.Splitter()

    pieces = [data[i : i + piece_bytes] for i in range(0, len(data), piece_bytes)]
    lines = [line for piece in pieces for line in splitter.feed(piece)]

    assert lines[-1] == "short"
    assert all(len(line.encode()) <= output.LINE_BYTES for line in lines)
    assert "".join(line.replace(output.CONTINUED, "") for line in lines[:-1]) == "€" * 100000


def test_keeps_what_is_not_text_below_the_limit() -> None:
    splitter = output.Splitter()

    lines = splitter.feed(b"\xff" * 200000 + b"\n")

    assert all(len(line.encode()) <= output.LINE_BYTES + 40 for line in lines)


def test_goes_on_numbering_where_an_earlier_writer_ended(tmp_path: Path) -> None:
    first = writer(tmp_path)
    first.append([(1, "a"), (2, "b")])
    first.close()

    second = writer(tmp_path)
    second.append([(3, "c")])

    assert second.next_line == 3
    assert written(tmp_path) == ["a", "b", "c"]


def test_cuts_off_a_line_that_was_half_written(tmp_path: Path) -> None:
    first = writer(tmp_path)
    first.append([(1, "a")])
    os.write(first.file, b"2 half of a li")
    first.close()

    second = writer(tmp_path)
    second.append([(3, "b")])

    assert written(tmp_path) == ["a", "b"]
    assert second.next_line == 2


def test_drops_the_oldest_when_the_files_outgrow_their_bound(tmp_path: Path) -> None:
    full = writer(tmp_path, max_bytes=10000)

    for n in range(1000):
        full.append([(n, f"line {n} " + "x" * 40)])

    total = sum(path.stat().st_size for path in output.files(tmp_path))
    assert total <= 12000
    first = output.first_line(output.files(tmp_path)[0])
    assert written(tmp_path)[0].startswith(f"line {first} ")
    assert full.next_line == 1000


def test_says_what_a_full_disk_lost(tmp_path: Path) -> None:
    full = writer(tmp_path)
    full.append([(1, "a")])
    real = full.file
    full.file = os.open("/dev/full", os.O_WRONLY)

    full.append([(2, "b"), (3, "c")])
    full.append([(4, "d")])
    os.close(full.file)
    full.file = real
    full.append([(5, "e")])

    assert written(tmp_path) == [
        "a",
        "[3 lines were lost here: they could not be written to the disk]",
        "e",
    ]
    assert full.next_line == 3


@pytest.mark.parametrize(("count", "first"), [(2, 98), (20, 80), (500, 0)])
def test_finds_the_last_lines_over_several_files(tmp_path: Path, count: int, first: int) -> None:
    full = writer(tmp_path, max_bytes=2000)  # a file for 200 bytes or more
    full.append([(n, str(n)) for n in range(50)])
    full.append([(n, str(n)) for n in range(50, 100)])

    assert len(output.files(tmp_path)) == 3  # the newest one is still empty
    assert output.tail(tmp_path, count) == [str(n) for n in range(first, 100)]


def test_has_no_last_lines_where_nothing_was_written(tmp_path: Path) -> None:
    assert output.tail(tmp_path / "missing") == []
