"""Requests that a replica closed without an answer, as `unanswered.lua` tells them.

HAProxy keeps the newest hundred, so what ended while no sidecar ran is told by the next one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.errors import HaproxyFailed
from gateway.haproxy.runtime import Runtime
from gateway.schema import Unanswered
from gateway.state.slots import Layout

log = logging.getLogger(__name__)

COMMAND = "show unanswered"
# An earlier HAProxy, which still runs after an update, answers that it knows no such command.
LINE = re.compile(r"(\d+) (\d+\.\d+) s\d+ (n\d+) ([!-~]{1,650}) ([!-~]{1,650})")
MOST_METHOD, MOST_PATH = 16, 200


@dataclass(frozen=True)
class Try:
    """One try of a request; `number` counts them since HAProxy started."""

    number: int
    at: float
    server: str
    method: str
    path: str


def parse(text: str) -> Iterator[Try]:
    """Read what HAProxy answers."""
    for row in text.splitlines():
        if found := LINE.fullmatch(row):
            number, at, server, method, path = found.groups()
            yield Try(
                int(number), float(at), server, cut(method, MOST_METHOD), cut(path, MOST_PATH)
            )


def cut(word: str, most: int) -> str:
    return word if len(word) <= most else f"{word[: most - 3]}..."


class UnansweredRequests:
    """Reads them, and tells each once."""

    def __init__(self, *, runtime: Runtime, layout: Callable[[], Layout]) -> None:
        self._runtime = runtime
        self._layout = layout
        self._told = 0

    def begin(self) -> None:
        """Count anew: this is another HAProxy."""
        self._told = 0

    async def news(self) -> list[Unanswered]:
        """Return those since the last call, of servers whose replica is known."""
        try:
            tries = list(parse(await self._runtime.ask(COMMAND)))
        except HaproxyFailed as error:
            log.debug("the requests without an answer could not be read: %s", error)
            return []
        new = [each for each in tries if each.number > self._told]
        self._told = max([self._told, *(each.number for each in new)])
        layout = self._layout()
        return [
            Unanswered(replica=replica, at=each.at, method=each.method, path=each.path)
            for each in new
            if (replica := layout.replica_on(each.server))
        ]
