"""Rendering chat templates in two child processes, so that a template hurts nobody but itself.

Templates come from repositories and from users: one may loop for ever or build gigabytes. Each job
goes to the child with the least to do and is answered in order. The first job of a child has one
second, then the child is killed; what stood behind it goes to the other one, and the template that
did it is refused for a while. One child is for templates that were never rendered well, so that
the other one goes on for all others, whatever comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from gateway.tgi.errors import Refused
from gateway.tgi.worker import DEADLINE_SECONDS, MOST_TEMPLATES, START_SECONDS, Child, Job

logger = logging.getLogger(__name__)

CHILDREN = 2
# How long a template that had to be stopped is not tried again.
QUARANTINE_SECONDS = 5.0
MOST_JOB_BYTES = 16 * 2**20
MOST_WAITING_BYTES = 128 * 2**20
MOST_PROVEN = 4096
RESTART_PAUSE_SECONDS = 0.5


@dataclass
class Renderer:
    """Renders templates: `await render(...)`, from one event loop."""

    _children: list[Child] = field(default_factory=list)
    _waiting: deque[Job] = field(default_factory=deque)
    _bytes: int = 0
    _refused_until: dict[str, float] = field(default_factory=dict)
    _proven: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _keys: dict[str, str] = field(default_factory=dict)
    _starting: set[asyncio.Task[None]] = field(default_factory=set)
    _running: bool = False
    _up: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Return when the children are ready; where they cannot start soon,
        it returns too, and they are tried again."""
        self._running = True
        for slot in range(CHILDREN):
            self._start_child(slot)
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes with the answer.
            async with asyncio.timeout(START_SECONDS):
                await self._up.wait()

    async def stop(self) -> None:
        self._running = False
        for task in list(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        children, self._children = self._children, []
        for child in children:
            child.kill()
            if child.process is not None:
                await child.process.wait()
        for job in (*self._waiting, *(job for child in children for job in child.jobs)):
            job.fail("The gateway is stopping.", status=503)

    async def render(self, source: str, variables: dict[str, Any], *, continues: bool) -> str:
        """Return the prompt; raises Refused with what the template said, or
        that it had to be stopped."""
        key = self._key(source)
        self._refuse_quarantined(key)
        asked = {"variables": variables, "continues": continues}
        try:
            rest = json.dumps(asked).encode()[1:]
        except RecursionError:
            raise Refused("The messages are nested too deeply.", param="messages") from None
        if len(rest) > MOST_JOB_BYTES:
            raise Refused("The messages are longer than 16 MB.", status=413, param="messages")
        if self._bytes + len(rest) > MOST_WAITING_BYTES:
            raise Refused("Too many chats wait for their template.", status=503)
        job = Job(key, source, rest, asyncio.get_running_loop().create_future())
        self._bytes += len(rest)
        try:
            self._dispatch(job)
            return await job.answer
        finally:
            self._bytes -= len(rest)

    def _key(self, source: str) -> str:
        key = self._keys.get(source)
        if key is None:
            if len(self._keys) >= MOST_TEMPLATES:
                self._keys.clear()
            key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            self._keys[source] = key
        return key

    def _refuse_quarantined(self, key: str) -> None:
        until = self._refused_until.get(key)
        if until is None:
            return
        if asyncio.get_running_loop().time() >= until:
            del self._refused_until[key]
            return
        raise Refused(_TOO_SLOW, status=400, code="template_timeout")

    def _dispatch(self, job: Job) -> None:
        trusted = job.key in self._proven
        ready = [each for each in self._children if each.open and (trusted or each.slot == 0)]
        if not ready:
            self._waiting.append(job)
            return
        min(ready, key=lambda child: (child.slow(), len(child.jobs))).send(job)

    def succeeded(self, job: Job) -> None:
        if job.key not in self._proven:
            self._proven[job.key] = None
            if len(self._proven) > MOST_PROVEN:
                self._proven.popitem(last=False)

    def is_ready(self, child: Child) -> None:
        if sum(each.ready for each in self._children) == CHILDREN:
            self._up.set()
        waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            self._dispatch(job)

    def child_ended(self, child: Child) -> None:
        """Its first job ended it; the others are asked again."""
        if child in self._children:
            self._children.remove(child)
        jobs, child.jobs = child.jobs, deque()
        if jobs and not child.leaving:
            self._retry_or_quarantine(jobs.popleft(), overdue=child.overdue)
        for job in jobs:
            self._retry(job)
        if self._running:
            # At once after a hostile template; with a pause where children do not even start.
            self._start_child(child.slot, pause=0.0 if child.ready else RESTART_PAUSE_SECONDS)

    def _retry_or_quarantine(self, job: Job, *, overdue: bool) -> None:
        job.tries_left -= 1
        if job.tries_left and not overdue:
            return self._retry(job)
        self._refused_until[job.key] = asyncio.get_running_loop().time() + QUARANTINE_SECONDS
        self._proven.pop(job.key, None)
        said = _TOO_SLOW if overdue else _TOO_MUCH
        return job.fail(said, status=400, code="template_timeout" if overdue else None)

    def _retry(self, job: Job) -> None:
        try:
            self._refuse_quarantined(job.key)
        except Refused as refused:
            job.fail(refused.message, status=refused.status, code=refused.code)
        else:
            self._dispatch(job)

    def _start_child(self, slot: int, *, pause: float = 0.0) -> None:
        task = asyncio.create_task(self._started(slot, pause))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self, slot: int, pause: float) -> None:
        await asyncio.sleep(pause)
        child = Child(self, slot)
        self._children.append(child)
        try:
            await child.start()
        except OSError as error:
            logger.warning("cannot start a process for chat templates: %s", error)
            self.child_ended(child)


_TOO_SLOW = (
    f"The chat template took longer than {DEADLINE_SECONDS:g} s and was stopped; "
    "it is tried again in a few seconds."
)
_TOO_MUCH = "The chat template needed too much memory and was stopped."
