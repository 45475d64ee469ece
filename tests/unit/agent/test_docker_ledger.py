from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent.docker import image_ledger
from apps.agent.docker.image_ledger import Ledger
from apps.agent.docker.pull import NO_LOGIN
from apps.agent.host.home import Home

BOB, EVE = ("bob", "right"), ("bob", "wrong")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, tmp_path, "home-id", False, 0)


def test_knows_again_whose_login_brought_an_image(home: Home) -> None:
    Ledger(home).note("a", BOB, names=["r/a:1"], ours=True)

    again = Ledger(home)

    assert again.may("a", BOB)
    assert not again.may("a", EVE)
    assert not again.may("a", NO_LOGIN)
    assert not again.is_anybodys("a")
    assert "right" not in (home.base / image_ledger.NAME).read_text()


def test_what_was_had_without_a_login_is_anybodys(home: Home) -> None:
    ledger = Ledger(home)
    ledger.note("a", BOB, names=[], ours=True)
    ledger.note("a", NO_LOGIN, names=[], ours=False)

    assert ledger.may("a", EVE) and ledger.is_anybodys("a")
    assert ledger.ours() == ["a"]


def test_nothing_keeps_an_unknown_image_from_anybody(home: Home) -> None:
    ledger = Ledger(home)

    assert ledger.is_anybodys("b")
    assert not ledger.may("b", NO_LOGIN)
    assert "b" not in ledger


def test_lists_ours_with_the_longest_unused_first(home: Home) -> None:
    ledger = Ledger(home)
    for name in "abc":
        ledger.note(name, NO_LOGIN, names=[], ours=name != "b")
    ledger.used(["a", "unknown"])

    assert ledger.ours() == ["c", "a"]
    ledger.forget("c")
    assert Ledger(home).ours() == ["a"]


def test_forgets_the_oldest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_ledger, "MOST", 3)
    ledger = Ledger(home)
    for number in range(5):
        ledger.note(str(number), NO_LOGIN, names=[], ours=True)

    assert ledger.ours() == ["2", "3", "4"]
