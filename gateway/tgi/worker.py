"""A child process that renders templates, as its parent sees it: jobs in, answers in order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gateway.tgi.errors import Refused

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 1.0
START_SECONDS = 15.0
# A child whose first job takes longer than this is passed over if the other one is free.
SLOW_SECONDS = 0.02
# A child forgets its compiled templates when it has this many.
MOST_TEMPLATES = 256
# Above the users of replicas of this host (100000 to 149999), so nobody else has them.
FIRST_UID = 150_000

# As in `gateway.tgi.child`, which imports Jinja2 and is not for this process.
DONE, READY, LEAVING = 0, 2, 3
ROOT = Path(__file__).parents[2]


class Owner(Protocol):
    def is_ready(self, child: Child) -> None: ...

    def succeeded(self, job: Job) -> None: ...

    def child_ended(self, child: Child) -> None: ...


@dataclass
class Job:
    key: str
    source: str
    rest: bytes
    answer: asyncio.Future[str]
    # A child may also die of something else, so a job is tried twice.
    tries_left: int = 2

    def frame(self, *, with_source: bool, forget: bool) -> bytes:
        said: dict[str, Any] = {"key": self.key}
        if with_source:
            said["source"] = self.source
        if forget:
            said["forget"] = True
        body = json.dumps(said).encode()[:-1] + b", " + self.rest
        return len(body).to_bytes(4, "big") + body

    def fail(self, message: str, **more: Any) -> None:
        if not self.answer.done():
            self.answer.set_exception(Refused(message, **more))


class Child(asyncio.Protocol):
    """One child and what it was asked; tells its owner when it is ready or gone."""

    def __init__(self, owner: Owner, slot: int) -> None:
        self.owner = owner
        self.slot = slot
        self.jobs: deque[Job] = deque()
        self.known: set[str] = set()
        self.ready = False
        self.overdue = False
        self.leaving = False
        self.head_since = 0.0
        self.process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        uid = FIRST_UID + self.slot if os.geteuid() == 0 else 0
        with theirs:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-s", "-m", "gateway.tgi.child", str(uid)),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env={"PYTHONPATH": str(ROOT)},
            )
        await self._loop.create_unix_connection(lambda: self, sock=ours)
        self._arm(START_SECONDS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, job: Job) -> None:
        forget = len(self.known) >= MOST_TEMPLATES and job.key not in self.known
        if forget:
            self.known.clear()
        # What is sent in one turn of the loop goes in one system call, which also wakes the child.
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(job.frame(with_source=job.key not in self.known, forget=forget))
        self.known.add(job.key)
        self.jobs.append(job)
        if len(self.jobs) == 1:
            self.head_since = self._loop.time()
            if self._timer is None:
                self._arm(DEADLINE_SECONDS)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(unsent)

    def data_received(self, data: bytes) -> None:
        waiting = self._waiting
        waiting += data
        while len(waiting) >= 4 and len(waiting) >= (end := 4 + int.from_bytes(waiting[:4], "big")):
            kind, text = waiting[4], waiting[5:end].decode("utf-8", "surrogatepass")
            del waiting[:end]
            self._answered(kind, text)

    def _answered(self, kind: int, text: str) -> None:
        if kind == READY:
            self.ready = True
            self._disarm()
            self.owner.is_ready(self)
            return
        job = self.jobs.popleft()
        self.head_since = self._loop.time()
        if kind == DONE:
            self.owner.succeeded(job)
            if not job.answer.done():
                job.answer.set_result(text)
        else:
            # A failed compilation is not kept there.
            self.known.discard(job.key)
            self.leaving = kind == LEAVING
            job.fail(f"The chat template refused this conversation: {text}.", param="messages")

    def _arm(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._check_deadline)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_deadline(self) -> None:
        """One timer for all jobs: has the first one been there for too long?"""
        self._timer = None
        if not self.ready:
            logger.warning("a process for chat templates did not start in %g s", START_SECONDS)
            self.kill()
        elif self.jobs:
            left = self.head_since + DEADLINE_SECONDS - self._loop.time()
            if left > 0:
                self._arm(left)
            else:
                self.overdue = True
                self.kill()

    @property
    def open(self) -> bool:
        """Takes jobs."""
        return self.ready and not self.overdue and not self.leaving

    def slow(self) -> bool:
        return bool(self.jobs) and self._loop.time() - self.head_since > SLOW_SECONDS

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        # What it still says, were it alive, belongs to nobody.
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._disarm()
        self.kill()
        self.owner.child_ended(self)
