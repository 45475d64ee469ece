"""Orders certificates from an ACME server, host by host, and renews them. A deploy never waits.

`tls/acme/` holds the account's key, `HOST.pem` for each certificate, and `orders.json`: failures
and when each host is due again, so that a restart asks no more than a gateway that stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway import atomic_write
from gateway.errors import BadCertificate, GatewayError, OrderFailed
from gateway.haproxy.config import CHALLENGES, map_file
from gateway.haproxy.runtime import Command, Runtime, line
from gateway.schema import CertificateState
from gateway.tls import pem, schedule
from gateway.tls.authority import Authority
from gateway.tls.challenges import Http, Solver
from gateway.tls.threads import in_thread

log = logging.getLogger(__name__)

FOLDER = "tls/acme"
CHECKPOINT = "orders.json"
MOST_AT_ONCE = 2
# At least one look in this time, should a clock jump.
LONGEST_REST_SECONDS = 300.0


class Failure(BaseModel):
    count: int
    again_at: float
    error: str


class Checkpoint(BaseModel):
    """What must outlive a restart."""

    failures: dict[str, Failure] = {}
    starts: list[float] = []


@dataclass(frozen=True)
class Issued:
    text: str
    lifetime: pem.Lifetime


class Orders:
    """`on_change` is called when a certificate came or an order failed. `dns` makes what answers
    for wildcards, which HTTP cannot, or returns None where nothing can now."""

    def __init__(
        self,
        *,
        home: Path,
        authority: Authority,
        runtime: Runtime,
        dns: Callable[[], Solver | None],
        on_change: Callable[[], None],
    ) -> None:
        self._folder = home / FOLDER
        self._authority = authority
        self.dns = dns
        self._runtime = runtime
        self.on_change = on_change
        self._hosts: list[str] = []
        self._issued: dict[str, Issued] = {}
        self._checkpoint = Checkpoint()
        self._busy: set[str] = set()
        self._news = asyncio.Event()

    def prepare(self) -> None:
        """Read what earlier sidecars left. Raise OSError."""
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError, ValidationError):
            self._checkpoint = Checkpoint.model_validate_json(
                (self._folder / CHECKPOINT).read_bytes()
            )
        for file in self._folder.glob("*.pem"):
            try:
                text = file.read_text()
                found = Issued(text, pem.lifetime(text))
            except BadCertificate as error:
                log.warning("%s is not used: %s", file, error)
                continue
            if found.lifetime.not_after > time.time():
                self._issued[file.stem] = found
            else:
                # Of a service that is long gone, or it would have been renewed.
                file.unlink(missing_ok=True)

    def want(self, hosts: list[str]) -> None:
        """Take the names that certificates are ordered for from now on."""
        if hosts != self._hosts:
            self._hosts = hosts
            self._news.set()

    def text(self, host: str) -> str:
        """Return chain and key of a host, "" while there are none."""
        found = self._issued.get(host)
        return found.text if found else ""

    def states(self) -> list[CertificateState]:
        return [self._state(host) for host in self._hosts]

    def _state(self, host: str) -> CertificateState:
        issued, failure = self._issued.get(host), self._checkpoint.failures.get(host)
        error = failure.error[:500] if failure else ""
        if issued is not None and issued.lifetime.not_after > time.time():
            until = issued.lifetime.not_after
            return CertificateState(host=host, state="valid", expires_at=until, error=error)
        return CertificateState(host=host, state="failed" if failure else "pending", error=error)

    async def run(self) -> None:
        """Order and renew until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                for host in self._due():
                    self._busy.add(host)
                    group.create_task(self._order(host))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rest_seconds()):
                        await self._news.wait()

    def _due(self) -> list[str]:
        now = time.time()
        places = MOST_AT_ONCE - len(self._busy)
        due = sorted((self._due_at(host), host) for host in self._hosts if host not in self._busy)
        found: list[str] = []
        for at, host in due[: max(places, 0)]:
            if at <= now and schedule.may_start_at(self._checkpoint.starts, now=now) <= now:
                self._checkpoint.starts = [*schedule.recent(self._checkpoint.starts, now=now), now]
                found.append(host)
        if found:
            self._save_checkpoint()
        return found

    def _due_at(self, host: str) -> float:
        failure, issued = self._checkpoint.failures.get(host), self._issued.get(host)
        if failure is not None:
            return failure.again_at
        if issued is None:
            return 0.0
        life = issued.lifetime
        return schedule.renew_at(host=host, not_before=life.not_before, not_after=life.not_after)

    def _rest_seconds(self) -> float:
        now = time.time()
        if len(self._busy) >= MOST_AT_ONCE:
            return LONGEST_REST_SECONDS
        times = [self._due_at(host) for host in self._hosts if host not in self._busy]
        free_at = schedule.may_start_at(self._checkpoint.starts, now=now)
        rest = max(min(times, default=now + LONGEST_REST_SECONDS), free_at) - now
        return min(max(rest, 0.05), LONGEST_REST_SECONDS)

    async def _order(self, host: str) -> None:
        try:
            text = await self._ask(host)
            self._issued[host] = Issued(text, pem.lifetime(text))
            atomic_write.write_text(self._folder / f"{host}.pem", text)
            self._checkpoint.failures.pop(host, None)
            log.info("%s has a certificate", host)
        except (GatewayError, OSError) as error:
            self._note_failure(host, str(error))
        finally:
            self._busy.discard(host)
        self._save_checkpoint()
        self._news.set()
        self.on_change()

    async def _ask(self, host: str) -> str:
        by_dns = self.dns() if host.startswith("*.") else None
        if host.startswith("*.") and by_dns is None:
            raise OrderFailed("nothing writes records of the DNS for this gateway any more")
        solver = by_dns or self._http()

        def order() -> str:
            try:
                return self._authority.order(host, solver=solver)
            finally:
                with contextlib.suppress(GatewayError, OSError):
                    solver.clean_up()

        text = await in_thread(order)
        pem.check(pem.payload(text))
        return text

    def _http(self) -> Http:
        loop = asyncio.get_running_loop()

        def wait_for(command: str) -> None:
            done = self._runtime.do(Command(command))
            asyncio.run_coroutine_threadsafe(done, loop).result(10)

        answers = map_file(CHALLENGES)
        return Http(
            put=lambda token, answer: wait_for(line("add map {} {} {}", answers, token, answer)),
            take=lambda token: wait_for(line("del map {} {}", answers, token)),
        )

    def _note_failure(self, host: str, error: str) -> None:
        before = self._checkpoint.failures.get(host)
        count = before.count + 1 if before else 1
        pause = schedule.BACKOFF.after(count, chance=random.random())
        log.warning("no certificate for %s, again in %d s: %s", host, pause, error)
        self._checkpoint.failures[host] = Failure(
            count=count, again_at=time.time() + pause, error=error[:500]
        )

    def _save_checkpoint(self) -> None:
        wanted = {**dict.fromkeys(self._hosts), **dict.fromkeys(self._busy)}
        self._checkpoint.failures = {
            host: failure
            for host, failure in self._checkpoint.failures.items()
            # A run that comes back within the backoff has not failed less.
            if host in wanted or failure.again_at > time.time()
        }
        with contextlib.suppress(OSError):
            atomic_write.write_text(
                self._folder / CHECKPOINT, json.dumps(self._checkpoint.model_dump())
            )
