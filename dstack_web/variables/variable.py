"""What a variable of the environment is, and how its text becomes a value.

A variable that is empty counts as one that is not set, except where `empty_means` says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
ON, OFF = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
WHOLE = re.compile(r"[0-9]{1,15}")
DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
SPAN = re.compile(r"([0-9]{1,9})([smhd]?)")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
SHOWN_LETTERS = 40


class Kind(StrEnum):
    """How the text is read; the value is what the documentation calls it."""

    TEXT = "text"
    SECRET = "secret"
    PATH = "path"
    URL = "address"
    LIST = "list, with commas"
    NETWORKS = "addresses or networks, with commas"
    SWITCH = "1 or 0"
    CHOICE = "one of"
    WHOLE = "whole number"
    NUMBER = "number"
    DURATION = "duration"


class Part(StrEnum):
    """The part of the product that reads a variable."""

    START = "start"
    SERVER = "server"
    FRONT = "front"
    GATEWAY = "gateway"
    AGENT = "agent"
    CLI = "command line"
    COMPOSE = "Compose"
    SERVICE = "your service"


class BadVariable(ValueError):
    """A value is not right; the text is a sentence with the variable, the value, what is right."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One row. `default` is a text as one would set it, "" where there is none.

    `default_is` tells a person of a default that is made or depends on others. A number lies
    between `least` and `most`; `choices` are those of a CHOICE.
    """

    name: str
    kind: Kind = Kind.TEXT
    default: str = ""
    default_is: str = ""
    unit: str = ""
    least: int = 0
    most: int = 10**9
    choices: tuple[str, ...] = ()
    empty_means: str = ""
    parts: tuple[Part, ...]
    says: str

    def text(self, given: str | None) -> str:
        """Return what counts for what was given: it, or the default."""
        if given is None or (not given and not self.empty_means):
            return self.default
        return given

    def check(self, given: str | None) -> None:
        """Raise BadVariable where a value cannot be read."""
        text = self.text(given)
        if not text:
            return
        if self.kind is Kind.SWITCH:
            self.switch(text)
        elif self.kind is Kind.CHOICE:
            wanted = f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
            self._require(text in self.choices, text, wanted)
        elif self.kind in (Kind.WHOLE, Kind.NUMBER):
            self.number(text)
        elif self.kind is Kind.DURATION:
            self.seconds(text)
        elif self.kind is Kind.URL:
            self._require(is_url(text), text, "an address like https://example.org")
        elif self.kind is Kind.NETWORKS:
            self.networks(text)

    def switch(self, text: str) -> bool:
        word = text.strip().lower()
        self._require(word in ON | OFF or not word, text, "1 (on) or 0 (off)")
        return word in ON

    def number(self, text: str) -> float:
        form = WHOLE if self.kind is Kind.WHOLE else DECIMAL
        digits = text.strip()
        right = form.fullmatch(digits) is not None and self.least <= float(digits) <= self.most
        self._require(right, text, f"a number from {self.least} to {self.most}")
        return float(digits)

    def seconds(self, text: str) -> int:
        """Read `10m`; `least` and `most` are in seconds."""
        found = SPAN.fullmatch(text.strip().lower())
        amount = int(found[1]) * SECONDS[found[2]] if found else -1
        wanted = f"a duration such as 90s, 10m or 2h, from {self.least} to {self.most} s"
        self._require(self.least <= amount <= self.most, text, wanted)
        return amount

    def networks(self, text: str) -> tuple[Network, ...]:
        words = [word.strip() for word in text.split(",")]
        try:
            return tuple(ip_network(word, strict=False) for word in words if word)
        except ValueError as error:
            raise BadVariable(f"{self.name}: {error}: give addresses or networks") from None

    def _require(self, is_right: bool, text: str, wanted: str) -> None:
        if not is_right:
            raise BadVariable(f"{self.name} must be {wanted}, not {text[:SHOWN_LETTERS]!r}")


def is_url(text: str) -> bool:
    """Tell whether it is an address by HTTP, without anything that a browser would not take."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = not any(letter.isspace() for letter in text) and port != 0
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)
