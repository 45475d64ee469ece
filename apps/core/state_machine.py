"""State machines as literal tables. Pure: no Django, no clock, no I/O.

Every stateful model has one `Machine` in its app's `states.py`; an edge exists there or nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


class IllegalTransition(Exception):
    """Somebody asked for an edge that the table does not have: a bug."""


@dataclass(frozen=True)
class Look:
    """How a state is shown: its colour, what it means in a few words, and its icon.

    A tone is a colour with one meaning: green works, blue is on its way, grey rests, amber needs a
    look, red failed. What has no icon of the sprite spins.
    """

    tone: Literal["green", "blue", "grey", "amber", "red"]
    meaning: str
    icon: str = ""


@dataclass(frozen=True)
class Machine:
    """`edges` maps each state to the states that may follow; the first key is the initial state.

    `looks` has how each of them is shown.
    """

    name: str
    edges: Mapping[str, frozenset[str]]
    looks: Mapping[str, Look]

    def __post_init__(self) -> None:
        unknown = {new for news in self.edges.values() for new in news} - set(self.edges)
        if unknown:
            raise ValueError(f"{self.name}: edges lead to unknown states {sorted(unknown)}")
        if odd := set(self.looks) ^ set(self.edges):
            raise ValueError(f"{self.name}: not one look for each of the states {sorted(odd)}")

    @property
    def initial(self) -> str:
        return next(iter(self.edges))

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.edges)

    @property
    def final(self) -> frozenset[str]:
        return frozenset(state for state, news in self.edges.items() if not news)

    @property
    def unfinished(self) -> tuple[str, ...]:
        return tuple(state for state, news in self.edges.items() if news)

    def check(self, old: str, new: str) -> None:
        """Raise IllegalTransition unless `old` -> `new` is an edge."""
        if new not in self.edges.get(old, frozenset()):
            raise IllegalTransition(f"{self.name}: {old} -> {new} is not an edge")
