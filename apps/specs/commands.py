"""The texts of a configuration that a shell will read, for whoever can ask a shell about them.

This package runs nothing: `parse` is given the question as a function, and places its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.specs.errors import Path
from apps.specs.fields.validation import Wrong


@dataclass(frozen=True)
class Script:
    """The items of `commands` as the shell gets them; `shell` is None where none is written."""

    items: tuple[str, ...]
    shell: str | None = None
    has_image: bool = False


@dataclass(frozen=True)
class Unreadable:
    """An item, by its index, that the shell would refuse; `line` counts from 1 within it."""

    item: int
    line: int
    message: str


ReadByShell = Callable[[Script], Iterable[Unreadable]]


def unreadable(keys: Mapping[str, Any], read_by_shell: ReadByShell) -> Iterator[Wrong]:
    """Yield what no shell can read, of the service and of its groups."""
    if keys.get("entrypoint") is not None:
        return
    groups = keys.get("groups")
    holders: list[tuple[Path, Any]] = [((), keys)]
    holders += [(("groups", at), group) for at, group in enumerate(groups or [])]
    for path, holder in holders:
        if isinstance(holder, Mapping) and isinstance(holder.get("commands"), list):
            for found in read_by_shell(_script(keys, holder)):
                place = (*path, "commands", found.item)
                yield Wrong(place, found.message, line=found.line)


def _script(keys: Mapping[str, Any], holder: Mapping[str, Any]) -> Script:
    """An item that is no text is a problem already; the shell sees nothing in its place."""
    texts = [item if isinstance(item, str) else "" for item in holder["commands"]]
    shell = keys.get("shell")
    return Script(
        tuple(text.replace("$${{", "${{") for text in texts),
        shell if isinstance(shell, str) else None,
        has_image=(holder.get("image") or keys.get("image")) is not None,
    )
