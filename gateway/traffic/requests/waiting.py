"""The requests that are told one by one: all of a second, or some where there are too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from gateway.schema import Endpoint, Request, Table
from gateway.state.slots import Layout
from gateway.traffic.requests import ended, sampling
from gateway.traffic.requests.ended import Ended

# Kept between two scrapes; more are only counted.
MOST_WAITING = 5000
# Of all services in one scrape.
MOST_ROWS = 500


class Requests:
    """Takes HAProxy's lines, and gives what is to be told of them each second."""

    def __init__(self, *, table: Callable[[], Table], layout: Callable[[], Layout]) -> None:
        self._table = table
        self._layout = layout
        self._waiting: defaultdict[str, list[Ended]] = defaultdict(list)
        self._unseen: defaultdict[str, int] = defaultdict(int)
        self._count = 0

    def take(self, line: str, *, at: float) -> None:
        """Note what a line tells; `at` is now, in seconds since 1970."""
        if not self._table().request_rows:
            return
        found = ended.parse(line, at=at)
        if found is None:
            return
        if self._count >= MOST_WAITING:
            self._unseen[found.endpoint] += found.weight
            return
        self._waiting[found.endpoint].append(found)
        self._count += 1

    def news(self) -> list[Request]:
        """Return the requests since the last call, or some of them, oldest first."""
        waiting, unseen = self._waiting, self._unseen
        self._waiting, self._unseen, self._count = defaultdict(list), defaultdict(int), 0
        if not waiting:
            return []
        table = self._table()
        endpoints = {each.id: each for each in table.endpoints if each.id in waiting}
        most = min(table.request_rows, max(MOST_ROWS // max(len(endpoints), 1), 1))
        rows: list[Request] = []
        for name, endpoint in endpoints.items():
            rows += self._chosen(waiting[name], endpoint, most=most, unseen=unseen[name])
        return sorted(rows[:MOST_ROWS], key=lambda row: row.at)

    def _chosen(
        self, waiting: list[Ended], endpoint: Endpoint, *, most: int, unseen: int
    ) -> list[Request]:
        replica_on = self._layout().replica_on
        return [
            each.as_message(endpoint=endpoint, replica_on=replica_on, weight=weight)
            for each, weight in sampling.choose(waiting, most=most, unseen=unseen)
        ]
