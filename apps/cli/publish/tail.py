"""A run's output: lines from the server, followed over broken connections by their cursor."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from apps.cli import answers
from apps.cli.errors import Refused, Unreachable
from apps.cli.http.client import Client
from apps.cli.publish.follow import PATIENCE_SECONDS

_AGAIN_SECONDS = 1.0
# The server sends an empty line at least this often, so a longer silence is a dead connection.
_QUIET_SECONDS = 60.0


@dataclass
class Tail:
    """Which lines are wanted, and which was the last one that came."""

    client: Client
    run: str
    replica: int | None = None
    since: str | None = None
    grep: str | None = None
    tail: int | None = None
    as_json: bool = False
    cursor: str | None = None
    several: bool = False
    _seen: set[Any] = field(default_factory=set)

    def show(self, *, follow: bool) -> None:
        """Print lines until there are no more; followed, until the run ends."""
        path = self.client.within("runs", self.run)
        run = answers.run(self.client.get(path))
        self.several = self.replica is None and (len(run.replicas) > 1 or run.replicas_wanted > 1)
        if not follow:
            # What is written meanwhile is not among the newest lines that were asked for.
            while self._batch(follow=False) and self.tail is None:
                sys.stdout.flush()
            return
        while True:
            ended = answers.run(self._patiently(path)).has_ended
            came = self._followed()
            if not came:
                if ended:
                    return
                time.sleep(_AGAIN_SECONDS)

    def _followed(self) -> int:
        try:
            return self._batch(follow=True)
        except Unreachable:
            time.sleep(_AGAIN_SECONDS)
            return 1

    def _batch(self, *, follow: bool) -> int:
        """Print one answer of the server; returns how many lines came."""
        count = 0
        for line in self._lines(follow=follow):
            count += 1
            self._print(line)
            if follow:
                sys.stdout.flush()
        return count

    def _lines(self, *, follow: bool) -> Iterator[dict[str, Any]]:
        path = self.client.within("runs", self.run, "logs")
        params = {
            "cursor": self.cursor,
            "replica": self.replica,
            "since": None if self.cursor else self.since,
            "tail": None if self.cursor else self.tail,
            "grep": self.grep,
            "follow": 1 if follow else None,
        }
        timeout = httpx.Timeout(60, connect=10, read=_QUIET_SECONDS)
        with self.client.stream(path, params, timeout=timeout) as response:
            for text in _split(response.iter_bytes()):
                if text.strip():
                    line = _read(text)
                    self.cursor = line.get("cursor") or self.cursor
                    yield line

    def _print(self, line: dict[str, Any]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
            return
        replica = line.get("replica")
        self._seen.add(replica)
        self.several = self.several or len(self._seen) > 1
        prefix = f"[{replica}] " if self.several else ""
        sys.stdout.write(f"{prefix}{line.get('text', '')}\n")

    def _patiently(self, path: str) -> Any:
        since = time.monotonic()
        while True:
            try:
                return self.client.get(path)
            except Unreachable:
                if time.monotonic() - since > PATIENCE_SECONDS:
                    raise
                time.sleep(_AGAIN_SECONDS)


def _split(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines end at newlines alone: texts of logs hold all the other characters that end lines."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    yield rest


def _read(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        # A line that was cut when the connection broke comes again with the next one.
        raise Unreachable("The server sent half a line of the log.") from None
    if not isinstance(line, dict):
        raise Unreachable("The server's log is not understood: is this a dstack server?")
    if "error" in line:
        raise Refused(str(line["error"].get("message", "The log broke off.")), status=500)
    return line
