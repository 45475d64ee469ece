from __future__ import annotations

import random

import pytest

from apps.runs.files.file_times import ALL, MOST_TIMES, Files, Served, instead

NOW = 1000


def one(content: str, time: int) -> Files:
    return {"index.html": (content, time)}


@pytest.mark.parametrize(
    ("earlier", "new", "time"),
    [
        # Nothing was served under the name, or only the same.
        ([], one("a", 10), 10),
        ([one("a", 10)], one("a", 10), 10),
        ([one("a", 10)], one("a", 5), 5),
        ([one("a", 10)], one("a", 20), 20),
        ([{"other.html": ("b", 99)}], one("a", 10), 10),
        # Edited: newer than what it was.
        ([one("a", 10)], one("b", 11), 11),
        # Edited in the same second, replaced by an older file, or brought back.
        ([one("a", 10)], one("b", 10), NOW),
        ([one("a", 10)], one("b", 9), NOW),
        ([one("b", 20), one("a", 10)], one("a", 10), NOW),
        # A clock of the future does not stop time.
        ([one("a", 5000)], one("b", 10), 5001),
        # Away for one version, and back with another content.
        ([{}, one("a", 10)], one("b", 5), NOW),
    ],
)
def test_a_changed_file_is_newer_than_all_that_was_served(
    earlier: list[Files], new: Files, time: int
) -> None:
    """`earlier` are newest first."""
    times = instead(new, [Served(files) for files in earlier], at=NOW)

    assert Served(new, times).time_of("index.html") == time


def test_what_was_renewed_keeps_its_new_time() -> None:
    earlier = [
        Served(one("a", 10), {"index.html": 900}),
        Served(one("b", 20)),
        Served(one("a", 10)),
    ]

    assert instead(one("a", 10), earlier, at=NOW) == {"index.html": 900}
    assert instead(one("b", 20), earlier, at=NOW) == {"index.html": NOW}


def test_only_changed_files_are_renewed() -> None:
    before = {"same": ("x", 10), "changed": ("a", 10)}

    assert instead({"same": ("x", 3), "changed": ("b", 3)}, [Served(before)], at=NOW) == {
        "changed": NOW
    }


def test_very_many_are_renewed_together() -> None:
    count = MOST_TIMES + 1
    before = Served({str(n): ("a", 10) for n in range(count)})
    new = {str(n): ("b", 10) for n in range(count)} | {"fresh": ("x", 500)}
    times = instead(new, [before], at=NOW)

    assert times == {ALL: NOW}
    assert Served(new, times).time_of("fresh") == NOW
    again = instead({str(n): ("a", 10) for n in range(count)}, [Served(new, times), before], at=NOW)
    assert again == {ALL: NOW + 1}


@pytest.mark.parametrize("seed", range(200))
def test_no_browser_ever_keeps_an_old_copy(seed: int) -> None:
    """Whatever is deployed in whatever order: who has a copy of other content, of the newest time
    that ever was, gets the new one; the same content never needs to."""
    chance = random.Random(seed)
    served: list[Served] = []
    for at in range(1, 30):
        new = {
            path: (chance.choice("abc"), chance.randrange(60))
            for path in ("x", "y")
            if chance.random() < 0.8
        }
        now = Served(new, instead(new, reversed(served), at=at))
        for path, (content, _) in new.items():
            others = [
                before.time_of(path)
                for before in served
                if path in before.files and before.files[path][0] != content
            ]
            assert now.time_of(path) > max(others, default=-1)
        served.append(now)
