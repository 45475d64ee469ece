"""The rows of HAProxy's table `counts`: what each key asked of each endpoint.

HAProxy keeps them, so a new sidecar goes on where the last one was. A row that was idle for a day
is dropped there, and all fields but those of bytes begin again after 2^32: what was counted before
is carried here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.haproxy.runtime import Runtime, line
from gateway.haproxy.tables import rows
from gateway.state.records import COUNTS, TOKENS

Key = tuple[str, str]
# Five classes of answers, answers that said their tokens, tokens in and out, bytes in and out.
Values = tuple[int, ...]
NONE: Values = (0,) * 10
NAMES = (
    *(f"gpc{number}" for number in range(len(COUNTS))),
    *(f"gpt{number}" for number in range(len(TOKENS))),
    "bytes_in_cnt",
    "bytes_out_cnt",
)
NEW = {f"gpc{COUNTS.index('said')}": "0"}
# Rows that changed are asked for; all of them at first, and then so often, to see which are gone.
SCRAPES_PER_RESYNC = 600
# All fields but the last two have 32 bits.
WRAPS_AT = 2**32
MOST_KEYS_AT_ONCE = 60


@dataclass(frozen=True)
class Row:
    endpoint: str
    key: str
    values: Values
    in_flight: int


def parse(text: str) -> Iterator[Row]:
    """Read what `show table counts` answers, once or several times."""
    for name, (*numbers, in_flight) in rows(text, (*NAMES, "conn_cur"), new=NEW):
        endpoint, _, key = name.partition(":")
        yield Row(endpoint, key, tuple(numbers), in_flight)


@dataclass
class Counters:
    """What was counted since HAProxy started, by endpoint and key; requests in flight by both.

    `carried` is what rows counted that HAProxy has no more, and what HAProxy never knew.
    """

    carried: dict[Key, Values] = field(default_factory=dict)
    in_flight: dict[Key, int] = field(default_factory=dict)
    _rows: dict[Key, Values] = field(default_factory=dict)
    _scrapes: int = 0
    # Added to since the last scrape.
    _added: set[Key] = field(default_factory=set)

    async def scrape(self, runtime: Runtime) -> dict[Key, Values]:
        """Read the table and return the sums that changed since last time.

        Raise HaproxyFailed.
        """
        is_whole = self._scrapes % SCRAPES_PER_RESYNC == 0
        found = await read_all(runtime) if is_whole else await self._read_active(runtime)
        self._scrapes += 1
        return self.take(found, is_whole=is_whole)

    def take(self, scraped: Iterable[Row], *, is_whole: bool) -> dict[Key, Values]:
        """Note rows as read, all of them or some."""
        found = {(row.endpoint, row.key): row for row in scraped}
        changed: dict[Key, Values] = {}
        for key, row in found.items():
            before = self._rows.get(key)
            if before == row.values:
                continue
            if before is not None:
                self._carry(key, lost(before, row.values))
            self._rows[key] = row.values
            changed[key] = self._sum(key)
        if is_whole:
            for key in self._rows.keys() - found.keys():
                self._carry(key, self._rows.pop(key))
        changed |= {key: self._sum(key) for key in self._added}
        self._added.clear()
        self.in_flight = {key: row.in_flight for key, row in found.items() if row.in_flight}
        return changed

    def add_tokens(self, key: Key, *, tokens_in: int, tokens_out: int) -> None:
        """Count the tokens of one answer, which HAProxy's table does not know."""
        self._carry(key, (0, 0, 0, 0, 0, 1, tokens_in, tokens_out, 0, 0))
        self._added.add(key)

    def sums(self) -> dict[Key, Values]:
        """Return all that was counted."""
        return {key: self._sum(key) for key in self._rows.keys() | self.carried.keys()}

    async def _read_active(self, runtime: Runtime) -> list[Row]:
        active = [
            *parse(await runtime.ask("show table counts data.http_req_rate gt 0")),
            *parse(await runtime.ask("show table counts data.conn_cur gt 0")),
        ]
        # What ended since the last scrape had its last bytes, and may be old in all other ways.
        seen = {(row.endpoint, row.key) for row in active}
        ended = [key for key in self.in_flight if key not in seen]
        for start in range(0, len(ended), MOST_KEYS_AT_ONCE):
            some = ended[start : start + MOST_KEYS_AT_ONCE]
            commands = (line("show table counts key {}", f"{one}:{key}") for one, key in some)
            active.extend(parse(await runtime.ask(";".join(commands))))
        return active

    def _sum(self, key: Key) -> Values:
        carried, row = self.carried.get(key, NONE), self._rows.get(key, NONE)
        return tuple(before + now for before, now in zip(carried, row, strict=True))

    def _carry(self, key: Key, values: Values) -> None:
        if any(values):
            carried = self.carried.get(key, NONE)
            self.carried[key] = tuple(old + more for old, more in zip(carried, values, strict=True))


async def read_all(runtime: Runtime) -> list[Row]:
    return list(parse(await runtime.ask("show table counts")))


def lost(before: Values, now: Values) -> Values:
    """Say what a row does not count any more."""
    if any(new < old for new, old in zip(now[-2:], before[-2:], strict=True)):
        return before
    return tuple(WRAPS_AT if new < old else 0 for new, old in zip(now, before, strict=True))
