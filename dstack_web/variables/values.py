"""The values of an environment, each read as its row of the list says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dstack_web.variables import authority
from dstack_web.variables.every import ALL, BY_NAME
from dstack_web.variables.variable import Network, Part

AUTHORITIES = ("DSTACK_AGENT_CA",)
# What these alone read is no matter of a start.
OUTSIDE = {Part.CLI, Part.COMPOSE}


def check(environ: Mapping[str, str]) -> None:
    """Raise BadVariable for the first value that a part of the server could not read."""
    for row in ALL:
        if not OUTSIDE.issuperset(row.parts):
            row.check(environ.get(row.name))
    for name in AUTHORITIES:
        Values(environ).authority(name)


@dataclass(frozen=True)
class Values:
    """Raise KeyError for a variable that is not in the list, BadVariable for a value."""

    environ: Mapping[str, str]

    def text(self, name: str) -> str:
        row = BY_NAME[name]
        row.check(self.environ.get(name))
        return row.text(self.environ.get(name))

    def url(self, name: str) -> str:
        return self.text(name).rstrip("/")

    def switch(self, name: str) -> bool:
        return BY_NAME[name].switch(self.text(name))

    def whole(self, name: str) -> int:
        """Return the number, 0 where there is neither one nor a default."""
        return int(self.text(name) or 0)

    def seconds(self, name: str) -> int:
        return BY_NAME[name].seconds(self.text(name))

    def words(self, name: str) -> list[str]:
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def authority(self, name: str) -> str:
        """Return the certificates of the file that is named, "" where none is."""
        return authority.read(self.text(name), name=name)

    def networks(self, name: str) -> tuple[Network, ...]:
        return BY_NAME[name].networks(self.text(name))
