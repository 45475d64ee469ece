"""Changed values in a text that otherwise stays as it was written."""

from __future__ import annotations

from typing import Any

import pytest

from apps.specs.yaml import edit
from apps.specs.yaml.tree import read

BLOCK = """\
a: 1  # one
b: |
  x
  y

# of c
c:
  d: {e: 1, f: [1, 2]}
  g:   # later
  h:
  - p: 3.10
# the end
"""


@pytest.mark.parametrize(
    ("text", "changes", "old", "new"),
    [
        (BLOCK, {("a",): 2}, "a: 1 ", "a: 2 "),
        (BLOCK, {("a",): None}, "a: 1  # one\n", ""),
        (BLOCK, {("a",): ["*/5", "x"]}, "a: 1 ", "a:\n  - '*/5'\n  - x "),
        (BLOCK, {("b",): None}, "b: |\n  x\n  y\n", ""),
        (BLOCK, {("b",): "z"}, "|\n  x\n  y", "z"),
        (BLOCK, {("c", "d", "e"): None}, "{e: 1, f", "{f"),
        (BLOCK, {("c", "d", "e"): "off"}, "e: 1", "e: 'off'"),
        (BLOCK, {("c", "d", "z"): 1.5}, "[1, 2]}", "[1, 2], z: 1.5}"),
        (BLOCK, {("c", "g"): True}, "g: ", "g: true "),
        (BLOCK, {("c", "g", "i"): 1}, None, None),
        (BLOCK, {("c", "h"): 5}, "h:\n  - p: 3.10", "h: 5"),
        (BLOCK, {("c", "z"): 5}, "3.10\n", "3.10\n  z: 5\n"),
        (BLOCK, {("z", "y"): 5}, "3.10\n", "3.10\n\nz:\n  y: 5\n"),
        (BLOCK, {("z", "y"): None}, "", ""),
        ("a: 1", {("b",): 2}, "a: 1", "a: 1\nb: 2\n"),
        ("a: 1\r\nb: 2\r\n", {("a",): 3}, "a: 1", "a: 3"),
        ("{a: 1, b: 2}\n", {("b",): 3, ("c",): "é"}, "b: 2", "b: 3, c: é"),
        ("'a': \"x\"\n", {("a",): "1"}, '"x"', "'1'"),
        ("a:\n  1\n", {("a",): 2}, "1", "2"),
        ("a: # said\n  b: 1\n", {("a", "b"): 2}, "1", "2"),
        ("a: &n 1\nb: 2\n", {("b",): 3}, "b: 2", "b: 3"),
        ("b: &n {c: 1}\na: 2\n", {("b", "c"): 3}, None, None),
        ("b: &n 1\na: *n\n", {("a",): 3}, None, None),
        ("b: &n {c: 1}\na: *n\n", {("a", "c"): 3}, None, None),
        ("a: {b: 1}\n", {("a", "b", "c"): 3}, None, None),
        ("a:\n  b: 1\n", {("a", "b"): None}, None, None),
        ("z: 1 # z\na:\n  b: 1\n", {("a", "b"): None}, "a:\n  b: 1\n", ""),
        ("z: 1\na: {b: 1} # b\n", {("a", "b"): None}, "a: {b: 1} # b\n", ""),
        ("z: 1\na: {c: {b: 1}}\n", {("a", "c", "b"): None}, "a: {c: {b: 1}}\n", ""),
        ("z: 1\na: {c: 1}\n", {("a", "b"): None}, "", ""),
        ("- a\n", {("a",): 1}, None, None),
    ],
)
def test_the_rest_stays_as_it_was(
    text: str, changes: dict[Any, Any], old: str | None, new: str | None
) -> None:
    if old is None or new is None:
        # No change at all, or one that means what is wanted.
        try:
            found = edit.with_values(text, changes)
        except edit.CannotEdit:
            return
        assert read(found).data == read(edit.rewritten(text, changes)).data
        return

    found = edit.with_values(text, changes)

    assert found == text.replace(old, new, 1)
    assert _without_nothing(read(found).data) == _without_nothing(
        read(edit.rewritten(text, changes)).data
    )


def _without_nothing(data: Any) -> Any:
    """Keys without a value are keys that are not there."""
    if isinstance(data, dict):
        return {key: _without_nothing(item) for key, item in data.items() if item is not None}
    return data


def test_what_is_written_anew_means_the_same() -> None:
    text = "a: 3.10\nb: '3.10'\nc: 010\nd: 22:22\ne: 'yes'\nf: |\n  x\n  y\ng: 0o17\n"
    text += "h: '0x1'\ni: '0o17'\nj: 1e-5\nk: 089\n"

    again = read(edit.rewritten(text, {("z",): 1})).data

    assert isinstance(again, dict)
    assert again == read(text).data | {"z": 1}  # type: ignore[operator]
    # As they were written, since they may be the text of a variable.
    for key, source in {"a": "3.10", "c": "010", "g": "0o17", "j": "1e-5", "k": "089"}.items():
        assert again[key].source == source  # type: ignore[union-attr]
