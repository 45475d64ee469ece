"""Configurations to start from; each runs on the embedded default, without any package.

The pages that list and deploy services call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Starter:
    key: str
    title: str
    about: str

    @property
    def text(self) -> str:
        return (FOLDER / f"{self.key}.yml").read_text()


STARTERS = (
    Starter("hello", "Hello, web", "A static page, open to everyone. Runs in a second."),
    Starter("api", "Streaming API", "JSON and server-sent events behind a token."),
    Starter("several", "Several replicas", "Two to four replicas behind one address."),
)
EMPTY = """\
type: service

commands:
  - python3 -m http.server $PORT --bind $DSTACK_HOST

port: 8000
"""


def find(key: str) -> Starter | None:
    """Return the starter of that key, None when there is none."""
    return next((starter for starter in STARTERS if starter.key == key), None)
