"""What a version's row tells by its file, and what stands beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from apps.runs.planning.diff import Difference
from apps.runs.rollout import version_rows
from apps.runs.rollout.history import Version

FIRST = Version(
    version=1,
    is_current=False,
    user="alice",
    created_at=timezone.now(),
    note="",
    failed_at=None,
    reason=None,
    last_lines=(),
    against=None,
    differences=(),
    configuration="port: 1\nenv:\n  - A=1\n",
)
PORT, A, FILES = (Difference(path, "x", "y") for path in ("port", "env.A", "files"))


@pytest.mark.parametrize(
    ("text", "found", "shown"),
    [
        ("port: 2\nenv:\n  - A=1\n", [PORT], []),
        ("port: 2\nenv:\n  - A=1\n", [PORT, A, FILES], [A, FILES]),
        ("port: 1\nenv:\n  - A=2\n", [A], []),
        # A variable of another name is not told by it.
        ("port: 1\nenv:\n  - A=1\n  - A_B=2\n", [A], [A]),
        # Nothing in the file: all that differs is told beside it.
        (FIRST.configuration, [PORT, A], [PORT, A]),
    ],
)
def test_tells_beside_the_file_what_the_file_does_not(
    text: str, found: list[Difference], shown: list[Difference]
) -> None:
    second = replace(FIRST, version=2, against=1, configuration=text, differences=found)

    row, _ = version_rows.of([second, FIRST])

    assert list(row.differences) == shown


def test_compares_with_none_that_it_does_not_have() -> None:
    (row,) = version_rows.of([replace(FIRST, version=60, against=9)])

    assert row.lines == []
