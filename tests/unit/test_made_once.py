from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.made_once import cache, made_once


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_one_makes_it_and_the_others_wait() -> None:
    made: list[Path] = []

    def make(fresh: Path) -> None:
        made.append(fresh)
        fresh.mkdir()
        (fresh / "file").write_text("text")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: made_once("folder", make), range(4)))

    assert len(made) == 1
    assert {(each / "file").read_text() for each in found} == {"text"}


def test_what_one_that_failed_left_is_not_taken() -> None:
    def fail(fresh: Path) -> None:
        fresh.mkdir()
        raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        made_once("thing", fail)

    assert not (cache() / "thing").exists()
    assert made_once("thing", lambda fresh: fresh.write_text("good")).read_text() == "good"
