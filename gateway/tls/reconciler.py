"""Reconciles HAProxy's certificates, and the files it starts from, with the table and ACME.

| file               | holds                                                       |
|--------------------|-------------------------------------------------------------|
| tls/list           | which certificate answers for which names                   |
| tls/fallback.pem   | self-made, for names without one: the first of the list     |
| tls/HASH.pem       | chain and key, named by what is in it, so never changed     |
| tls/acme/HOST.pem  | what the ACME server gave; see `gateway.tls.orders`         |
| maps/secure.map    | host -> the authority that plain HTTP is sent to            |

Files first, then HAProxy, in one task; what HAProxy holds is read each time instead of believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway import atomic_write
from gateway.errors import BadCertificate, HaproxyFailed, RuntimeRefused
from gateway.haproxy.config import CHALLENGES, SECURE, map_file
from gateway.haproxy.runtime import Runtime
from gateway.haproxy.store import map_text
from gateway.schema import CertificateState, Table
from gateway.state.desired_state import Map, is_past
from gateway.tls import names, pem, socket
from gateway.tls.orders import Orders

log = logging.getLogger(__name__)

FOLDER = "tls"
RETRY_SECONDS = 1.0
LONGEST_REST_SECONDS = 900.0


@dataclass(frozen=True)
class Bundle:
    """A chain with its key, and the names that it answers for."""

    hosts: tuple[str, ...]
    text: str

    @property
    def file(self) -> str:
        whole = "\n".join((*self.hosts, self.text))
        return f"{FOLDER}/{hashlib.sha256(whole.encode()).hexdigest()[:32]}.pem"


class CertificateReconciler:
    """Certificates of one gateway. `table` gives the table in force; `on_change` is called when
    the states may have changed."""

    def __init__(
        self,
        *,
        home: Path,
        port: int,
        table: Callable[[], Table],
        orders: Orders | None,
        on_change: Callable[[], None],
    ) -> None:
        self._home = home
        self._suffix = "" if port == 443 else f":{port}"
        self._table = table
        self._orders = orders
        self._on_change = on_change
        self._notified = asyncio.Event()
        self._seen: tuple[object, ...] = ()
        # Files that cannot be used, and why; checked ones are not checked again.
        self._refused: dict[str, str] = {}
        self._checked: set[str] = set()
        # What is so now, and what will be once HAProxy has it.
        self._states: list[CertificateState] = []
        self._built: list[CertificateState] = []
        self.error = ""

    def prepare(self) -> None:
        """Make what HAProxy starts from. Raise OSError."""
        (self._home / FOLDER).mkdir(mode=0o700, exist_ok=True)
        fallback = self._home / socket.FALLBACK
        if not is_usable(fallback):
            atomic_write.write_text(fallback, pem.self_signed("no certificate yet"))
        atomic_write.write_text(self._home / map_file(CHALLENGES), "")
        self._write(self._build())
        self._states = self._built

    def resync_if_changed(self, generation: int) -> None:
        """Resync where the table or HAProxy changed; `generation` counts HAProxies."""
        table = self._table()
        seen = (table.endpoints, table.certificates, table.domain, table.solves_dns, generation)
        if len(seen) != len(self._seen) or any(
            a is not b for a, b in zip(seen, self._seen, strict=True)
        ):
            self._seen = seen
            self._notified.set()

    def notify(self) -> None:
        self._notified.set()

    def states(self) -> list[CertificateState]:
        """Say for each host that wants a certificate how it stands."""
        return self._states

    async def run(self, runtime: Runtime) -> None:
        """Reconcile HAProxy until it is cancelled."""
        while True:
            # Time alone makes a certificate expire.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_REST_SECONDS):
                    await self._notified.wait()
            self._notified.clear()
            try:
                await self._reconcile(runtime)
                self._states, self.error = self._built, ""
            except (HaproxyFailed, RuntimeRefused, OSError) as error:
                if str(error) != self.error:
                    log.warning("cannot apply certificates: %s", error)
                self.error = str(error)
                self._notified.set()
                await asyncio.sleep(RETRY_SECONDS)
            self._on_change()

    async def _reconcile(self, runtime: Runtime) -> None:
        bundles = self._build()
        self._write(bundles)
        listed = await socket.listed(runtime)
        if await self._add(runtime, {f: b for f, b in bundles.items() if f not in listed}):
            # What was refused must not stand in what HAProxy starts from.
            bundles = self._build()
            self._write(bundles)
        for file in listed - set(bundles) - {socket.FALLBACK}:
            await socket.remove(runtime, file)
        self._forget(bundles)
        secure = self._secure(bundles)
        if await runtime.read_map(SECURE) != secure:
            await runtime.write_map(map_file(SECURE), secure)

    async def _add(self, runtime: Runtime, missing: dict[str, Bundle]) -> bool:
        """Return whether HAProxy refused one."""
        refused = False
        loaded = await socket.loaded(runtime) if missing else set()
        for file, bundle in missing.items():
            held = file in loaded
            try:
                await socket.add(
                    runtime, file, text=bundle.text, hosts=bundle.hosts, is_loaded=held
                )
            except RuntimeRefused as error:
                self._refused[file], refused = str(error), True
        return refused

    def _build(self) -> dict[str, Bundle]:
        """What HAProxy must hold, by file; the orders and the states follow from it."""
        table = self._table()
        brought = {
            each.id: Bundle(tuple(each.hosts), f"{each.chain.strip()}\n{each.key.strip()}\n")
            for each in sorted(table.certificates, key=lambda each: each.version)
        }
        for each in table.certificates:
            if is_past(each.expires_at, time.time()):
                self._refused[brought[each.id].file] = "the certificate expired"
        good = [each for each in table.certificates if self._is_usable(brought[each.id])]
        bundles = {brought[each.id].file: brought[each.id] for each in good}
        hosts = names.wanted(table)
        covered = {host: found for host in hosts if (found := names.covering(good, host))}
        self._built = [
            CertificateState(host=host, state="valid", source="upload", expires_at=found.expires_at)
            for host, found in covered.items()
        ]
        for bundle in brought.values():
            if error := self._refused.get(bundle.file):
                self._built += [
                    CertificateState(host=host, state="failed", source="upload", error=error)
                    for host in bundle.hosts
                ]
        if self._orders is not None:
            bundles |= self._ordered(self._orders, [host for host in hosts if host not in covered])
        return bundles

    def _ordered(self, orders: Orders, hosts: list[str]) -> dict[str, Bundle]:
        domain = self._table().domain
        named = names.to_order(hosts, domain=domain, wildcards=orders.dns() is not None)
        orders.want(named)
        self._built += [
            state.model_copy(update={"host": host})
            for state in orders.states()
            for host in hosts
            if names.covers(state.host, host)
        ]
        found = [Bundle((name,), text) for name in named if (text := orders.text(name))]
        return {each.file: each for each in found if self._is_usable(each)}

    def _forget(self, bundles: dict[str, Bundle]) -> None:
        kept = {*bundles, socket.FALLBACK}
        for path in (self._home / FOLDER).glob("*.pem"):
            if f"{FOLDER}/{path.name}" not in kept:
                path.unlink(missing_ok=True)

    def _is_usable(self, bundle: Bundle) -> bool:
        if bundle.file not in self._checked:
            self._checked.add(bundle.file)
            # The name says what is in it: one that was written once has been checked.
            if not (self._home / bundle.file).exists():
                self._check(bundle)
        return bundle.file not in self._refused

    def _check(self, bundle: Bundle) -> None:
        try:
            pem.check(pem.payload(bundle.text))
            socket.list_row(bundle.file, bundle.hosts)
        except (BadCertificate, RuntimeRefused) as error:
            self._refused[bundle.file] = str(error)

    def _write(self, bundles: dict[str, Bundle]) -> None:
        for file, bundle in bundles.items():
            if not (self._home / file).exists():
                atomic_write.write_text(self._home / file, pem.payload(bundle.text))
        rows = [socket.list_row(file, bundle.hosts) for file, bundle in bundles.items()]
        # The first row answers where no other does.
        atomic_write.write_text(self._home / socket.LIST, "".join([f"{socket.FALLBACK}\n", *rows]))
        atomic_write.write_text(self._home / map_file(SECURE), map_text(self._secure(bundles)))

    def _secure(self, bundles: dict[str, Bundle]) -> Map:
        patterns = {host for each in bundles.values() for host in each.hosts}
        return {
            host: f"{host}{self._suffix}"
            for host in names.wanted(self._table())
            if host in patterns or f"*.{host.partition('.')[2]}" in patterns
        }


def is_usable(path: Path) -> bool:
    try:
        pem.check(path.read_text())
    except (OSError, BadCertificate):
        return False
    return True
