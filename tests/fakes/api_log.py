"""The log of a run as the fake API streams it: a page, or lines until the run has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes.api_state import FakeRun, Json


@dataclass
class Log:
    run: FakeRun
    query: dict[str, list[str]]

    def lines(self) -> Iterator[Json]:
        at = int(self.query.get("cursor", ["0"])[0])
        if "tail" in self.query:
            at = max(len(self.run.lines) - int(self.query["tail"][0]), 0)
        while True:
            ended = self.run.has_ended
            new = self.run.lines[at:]
            at += len(new)
            yield from (line for line in new if self._wanted(line))
            if "follow" not in self.query or (ended and not new):
                return
            self.run.data.update(self.run.steps.pop(0) if self.run.steps else {})
            time.sleep(0.01)

    def _wanted(self, line: Json) -> bool:
        replica = self.query.get("replica")
        found = replica is None or replica == [str(line["replica"])]
        return found and self.query.get("grep", [""])[0] in line["text"]
