"""A constant load on one service, from a thread of its own: what was answered, and when."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import httpx

PER_SECOND = 50
TIMEOUT_SECONDS = 10.0
BUSY_SECONDS = 0.01


@dataclass(frozen=True)
class Answer:
    """One request: its id and method, when it was sent (monotonic), how long it took, what came."""

    id: str
    method: str
    at: float
    seconds: float
    status: int
    body: str

    @property
    def is_good(self) -> bool:
        return self.status == 200


@dataclass
class Load:
    """Sends `per_second` requests a second, half of them on kept connections, until the end.

    Each has an `X-Request-Id` of its own. A slow answer delays no other request, unless `most_open`
    are not answered yet: a machine that cannot do so many a second gets fewer. Nothing is tried
    again; every other request is a POST, which a proxy may not repeat either once it is sent.
    """

    url: str
    headers: dict[str, str]
    per_second: float = PER_SECOND
    most_open: int | None = None
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._drive()), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._thread is not None
        self._stop.set()
        self._thread.join(TIMEOUT_SECONDS * 2)
        assert not self._thread.is_alive()

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if not answer.is_good]

    def good_since(self, at: float) -> int:
        """Count the good answers to requests sent after `at`."""
        return sum(1 for answer in list(self.answers) if answer.is_good and answer.at > at)

    async def _drive(self) -> None:
        once = httpx.Limits(max_keepalive_connections=0)
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as kept,
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=once) as fresh,
            asyncio.TaskGroup() as group,
        ):
            clients = (kept, kept, fresh, fresh)
            due = time.monotonic()
            number = 0
            while not self._stop.is_set():
                if self.most_open is not None and number - len(self.answers) >= self.most_open:
                    await asyncio.sleep(BUSY_SECONDS)
                    due = time.monotonic()
                    continue
                method = ("GET", "POST")[number % 2]
                group.create_task(self._send(clients[number % 4], method, str(number)))
                number += 1
                due += 1 / self.per_second
                await asyncio.sleep(due - time.monotonic())

    async def _send(self, client: httpx.AsyncClient, method: str, identity: str) -> None:
        at = time.monotonic()
        headers = {**self.headers, "X-Request-Id": identity}
        try:
            found = await client.request(method, self.url, headers=headers)
            status, body = found.status_code, found.text
        except httpx.HTTPError as error:
            status, body = 0, repr(error)
        self.answers.append(Answer(identity, method, at, time.monotonic() - at, status, body))
