"""What HAProxy says of a stick table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def rows(text: str, fields: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """This function will read the answer to `show table`, once or several times: keys and fields.

    A row that is cut off, since HAProxy ended in the middle of it, is left out.
    """
    for row in text.splitlines():
        _, found, rest = row.partition(": key=")
        # An empty key stands for itself: `key= use=0`.
        name, _, pairs = rest.partition(" ")
        values = dict(pair.split("=", 1) for pair in pairs.split() if "=" in pair)
        numbers = [values.get(each, "") for each in fields]
        if found and all(each.isdecimal() for each in numbers):
            yield name, tuple(int(each) for each in numbers)
