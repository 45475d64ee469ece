"""HAProxy's supervisor: adopts the one that runs, starts one where none does, and another one when
that dies or hangs.

HAProxy does not die with the sidecar (only the sidecar's own orderly stop ends it), so a killed
sidecar costs no request. Whoever stops the whole server ends a leftover by `haproxy.pid`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.backoff import Backoff
from gateway.errors import HaproxyFailed
from gateway.haproxy import config, liveness, process
from gateway.haproxy.process import Process
from gateway.haproxy.reconciler import Reconciler
from gateway.haproxy.runtime import Runtime

log = logging.getLogger(__name__)

START_SECONDS = 20.0
STOP_SECONDS = 1.0
# Of both that have the runtime socket while one hands over, the other one answers no more.
SURE_ANSWERS = 5
# One that lived this long did not die of its start: it is started again at once.
SETTLED_SECONDS = 5.0
LOG_POLL_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class Supervisor:
    """Keeps one HAProxy running in `home` and tells the reconciler when it is there.

    `on_start` is called when another one runs than before.
    """

    def __init__(
        self,
        *,
        binary: Path,
        home: Path,
        shape: config.Shape,
        runtime: Runtime,
        reconciler: Reconciler,
        on_start: Callable[[], None],
    ) -> None:
        self._binary = binary
        self._home = home
        self._runtime = runtime
        self._reconciler = reconciler
        self._on_start = on_start
        self._process: Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._draining: Process | None = None
        fixed = f"{config.fixed_part(shape)}{shape.slots}{binary}"
        self._fingerprint = hashlib.sha256(fixed.encode()).hexdigest()[:16]

    async def begin(self) -> None:
        """Return once a HAProxy of ours answers; raises HaproxyFailed."""
        found = process.running(self._home)
        if found is not None and await self._is_ours(found):
            log.info("HAProxy %d goes on", found.pid)
            self._process = found
            self._reconciler.attach()
            return
        if found is not None:
            log.info("HAProxy %d runs with other settings and is replaced", found.pid)
            if await self._runtime.is_ready() and await self._has_taken_over(found):
                return
            await self._end(found)
        await self._start()

    async def run(self) -> None:
        """Start HAProxy again whenever it ends or hangs, until this is cancelled."""
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        while True:
            began = time.monotonic()
            if self._process is not None:
                await self._wait_until_down(self._process)
                log.error("HAProxy ended; starting it again")
                self._process = None
            if time.monotonic() - began > SETTLED_SECONDS:
                backoff.reset()
            else:
                await asyncio.sleep(backoff.next())
            try:
                await self._start()
            except HaproxyFailed as error:
                log.error("%s", error)

    async def rotate_log(self) -> None:
        """Rotate HAProxy's log until it is cancelled."""
        while True:
            process.rotate_log(self._home)
            await asyncio.sleep(LOG_POLL_SECONDS)

    async def stop(self) -> None:
        """Let requests in flight finish for a second, then end HAProxy."""
        if self._draining is not None:
            self._draining.signal(signal.SIGKILL)
        if self._process is not None:
            await self._end(self._process)
        if self._child is not None:
            self._child.wait(STOP_SECONDS)
        (self._home / process.PID_FILE).unlink(missing_ok=True)

    async def _end(self, running: Process) -> None:
        mark = process.log_size(self._home)
        await running.stop(seconds=STOP_SECONDS)
        with suppress(OSError):
            process.forget_stopped(self._home, since=mark)

    async def _wait_until_down(self, running: Process) -> None:
        """Return when it has ended; one that hangs is ended."""
        ended = asyncio.ensure_future(running.ended())
        unresponsive = asyncio.ensure_future(
            liveness.wait_until_unresponsive(
                is_ready=self._runtime.is_ready, is_stopped=running.is_stopped
            )
        )
        try:
            await asyncio.wait((ended, unresponsive), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                log.error("HAProxy %d does not answer and is ended", running.pid)
                running.signal(signal.SIGKILL)
                await ended
        finally:
            ended.cancel()
            unresponsive.cancel()

    async def _is_ours(self, found: Process) -> bool:
        return found.fingerprint == self._fingerprint and await self._runtime.is_ready()

    async def _has_taken_over(self, found: Process) -> bool:
        """Start another one beside the one that runs, which then serves on who is connected to it;
        return whether that went well."""
        try:
            await self._start(takes_over=found)
        except HaproxyFailed as error:
            log.info("HAProxy %d does not hand over and is ended: %s", found.pid, error)
            return False
        return True

    async def _hand_over(self, before: Process, child: subprocess.Popen[bytes]) -> None:
        """Wait until who runs since before serves on who is connected to it, and nobody else."""
        self._draining = before

        async def has_the_socket() -> bool:
            return all([await self._runtime.is_ready(pid=child.pid) for _ in range(SURE_ANSWERS)])

        await process.wait_ready(child=child, is_ready=has_the_socket, seconds=START_SECONDS)

    async def _start(self, *, takes_over: Process | None = None) -> None:
        if self._child is not None:
            self._child.poll()
        self._reconciler.detach()
        process.rotate_log(self._home)
        mark = process.log_size(self._home)
        child = process.start(
            binary=self._binary,
            home=self._home,
            config=config.FILE,
            fingerprint=self._fingerprint,
            more=taking_over(takes_over) if takes_over else (),
        )
        self._child = child
        self._process = process.running(self._home)
        try:
            await process.wait_ready(
                child=child,
                is_ready=lambda: self._runtime.is_ready(pid=child.pid),
                seconds=START_SECONDS,
            )
            if takes_over is not None:
                await self._hand_over(takes_over, child)
        except HaproxyFailed as error:
            self._process = None
            child.kill()
            child.wait()
            raise HaproxyFailed(
                f"{error}: {process.startup_error(self._home, since=mark)}"
            ) from None
        log.info("HAProxy %d started", child.pid)
        self._on_start()
        self._reconciler.attach()


def taking_over(before: Process) -> Sequence[str]:
    """Return the arguments of one that has the open ports of the one before from it, so that nobody
    who connects meanwhile is turned away, and tells it to take no more.

    That it does by itself: if we ended here, the one before would go on with what was so now, keys
    that are taken away later among it.
    """
    return ("-x", config.SOCKET, "-sf", str(before.pid))
