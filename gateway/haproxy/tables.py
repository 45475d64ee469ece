"""What HAProxy says of a stick table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

NOTHING: Mapping[str, str] = {}


def rows(
    text: str, fields: Sequence[str], *, new: Mapping[str, str] = NOTHING
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Read the answer to `show table`, once or several times: keys and fields.

    A row that is cut off, since HAProxy ended in the middle of it, is left out. `new` has the value
    of fields that an earlier version, which may still run, does not have.
    """
    new = {name: value for name, value in new.items() if f" {name}=" not in text}
    for row in text.splitlines():
        _, found, rest = row.partition(": key=")
        # An empty key stands for itself: `key= use=0`.
        name, _, pairs = rest.partition(" ")
        values = dict(pair.split("=", 1) for pair in pairs.split() if "=" in pair)
        numbers = [values.get(each, new.get(each, "")) for each in fields]
        if found and all(each.isdecimal() for each in numbers):
            yield name, tuple(int(each) for each in numbers)
