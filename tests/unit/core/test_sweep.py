"""One row that cannot be worked on stops no other, and is not passed over in silence."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from apps.core.sweep import in_batches, one_by_one

BAD = (2, 5)


class Broken(Exception):
    """Of one row."""


def test_all_others_have_their_turn_and_the_first_error_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[int] = []

    def do(row: int) -> None:
        if row in BAD:
            raise Broken(row)
        done.append(row)

    with caplog.at_level(logging.ERROR), pytest.raises(Broken, match="2"):
        one_by_one(range(7), do)

    assert done == [0, 1, 3, 4, 6]
    assert [record.getMessage() for record in caplog.records] == [
        "2 cannot be worked on",
        "5 cannot be worked on",
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_fails_together_is_done_alone(size: int) -> None:
    done: list[int] = []

    def do(rows: Sequence[int]) -> None:
        if set(rows) & set(BAD):
            raise Broken(min(set(rows) & set(BAD)))
        done.extend(rows)

    with pytest.raises(Broken, match="2"):
        in_batches(range(7), do, size=size)

    assert sorted(done) == [0, 1, 3, 4, 6]


def test_what_does_not_fail_stays_together() -> None:
    seen: list[list[int]] = []

    in_batches(range(5), lambda rows: seen.append(list(rows)), size=2)

    assert seen == [[0, 1], [2, 3], [4]]


def test_nothing_is_nothing() -> None:
    in_batches([], lambda rows: pytest.fail("called"), size=2)
