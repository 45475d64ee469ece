"""Which requests were handed on before a sidecar died."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.hold.replay_journal import FILE, OLDER, ReplayJournal


def test_knows_what_an_earlier_sidecar_noted(tmp_path: Path) -> None:
    earlier = ReplayJournal(tmp_path)
    earlier.note("a")
    # It is killed: nothing is closed.
    later = ReplayJournal(tmp_path)

    assert "a" in earlier
    assert ("a" in later, "b" in later, "" in later) == (True, False, False)


def test_forgets_the_oldest(tmp_path: Path) -> None:
    journal = ReplayJournal(tmp_path, most_keys=2)
    for key in "abcde":
        journal.note(key)

    assert [key in journal for key in "abcde"] == [False, False, True, True, True]
    assert (tmp_path / OLDER).read_text().split() == ["c", "d"]
    assert (tmp_path / FILE).read_text().split() == ["e"]


def test_what_cannot_be_written_holds_up_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    # In the place of the older file, which is to be written over.
    (tmp_path / OLDER).mkdir()
    journal = ReplayJournal(tmp_path, most_keys=1)
    journal.note("a")
    journal.note("b")

    assert ("a" in journal, "b" in journal) == (True, True)
    assert "is not noted" in caplog.text
