"""HAProxy's pid file and log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.haproxy import process
from gateway.haproxy.process import LOG_FILE, PID_FILE, Process


def write_pid(home: Path, *, pid: int, ticks: int | None, boot: str) -> None:
    (home / PID_FILE).write_text(f"{pid}\n{ticks}\n{boot}\nf1\n")


def test_finds_the_process_that_the_file_names(tmp_path: Path) -> None:
    ticks = process.started_ticks(os.getpid())
    write_pid(tmp_path, pid=os.getpid(), ticks=ticks, boot=process.boot_id())

    assert process.running(tmp_path) == Process(os.getpid(), ticks or 0, "f1")


def test_finds_no_other_process_of_that_pid(tmp_path: Path) -> None:
    write_pid(tmp_path, pid=os.getpid(), ticks=1, boot=process.boot_id())

    assert process.running(tmp_path) is None


def test_finds_no_process_of_before_the_reboot(tmp_path: Path) -> None:
    ticks = process.started_ticks(os.getpid())
    write_pid(tmp_path, pid=os.getpid(), ticks=ticks, boot="another")

    assert process.running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "x", "1 2 3", "a b c d", "1 2 3 4 5"])
def test_takes_a_broken_file_for_none(tmp_path: Path, text: str) -> None:
    (tmp_path / PID_FILE).write_text(text)

    assert process.running(tmp_path) is None


def test_finds_why_haproxy_did_not_start(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    log.write_text("[ALERT]    (1) : of an earlier start\n")
    mark = process.log_size(tmp_path)
    with log.open("a") as file:
        file.write("[NOTICE]   (2) : version\n[ALERT]    (2) : cannot bind\n[ALERT] (2) : Fatal\n")

    assert process.startup_error(tmp_path, since=mark) == "cannot bind"


def test_begins_a_long_log_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_LOG_BYTES", 10)
    with (tmp_path / LOG_FILE).open("ab") as held_open:
        held_open.write(b"eleven byte")
        held_open.flush()
        process.rotate_log(tmp_path)
        held_open.write(b"new")

    assert (tmp_path / LOG_FILE).read_bytes() == b"new"
    assert (tmp_path / f"{LOG_FILE}.1").read_bytes() == b"eleven byte"


def test_keeps_what_else_was_said_while_it_stopped(tmp_path: Path) -> None:
    log = tmp_path / process.LOG_FILE
    before = "[WARNING]  (1) : Proxy s1 stopped (cumulated conns: FE: 0, BE: 1).\n"
    log.write_text(before)
    mark = process.log_size(tmp_path)
    stopped = "".join(before.replace("s1", f"s{number}") for number in range(5000))
    log.write_text(f"{before}{stopped}[ALERT] (1) : it crashed\n")

    process.forget_stopped(tmp_path, since=mark)

    assert log.read_text() == f"{before}[ALERT] (1) : it crashed\n"


def test_leaves_a_log_that_was_begun_anew_while_it_stopped(tmp_path: Path) -> None:
    log = tmp_path / process.LOG_FILE
    log.write_text("short\n")

    process.forget_stopped(tmp_path, since=100)

    assert log.read_text() == "short\n"
