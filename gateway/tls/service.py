"""TLS of one gateway: certificates in HAProxy, and orders for those that are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.errors import BadConfig, ControlPlaneError, OrderFailed
from gateway.haproxy.reconciler import Reconciler
from gateway.haproxy.runtime import Runtime
from gateway.schema import DnsAnswer, DnsState, Status, Table
from gateway.tls.authority import Authority
from gateway.tls.challenges import DnsHook, DnsOfServer, Solver
from gateway.tls.orders import FOLDER, Orders
from gateway.tls.reconciler import CertificateReconciler

ASK_SECONDS = 40.0

WriteDns = Callable[[DnsAnswer], Coroutine[Any, Any, DnsState]]


class Tls:
    """`on_change` is called when the status may have changed."""

    def __init__(
        self,
        settings: Config,
        *,
        home: Path,
        runtime: Runtime,
        reconciler: Reconciler,
        on_change: Callable[[], None],
    ) -> None:
        self._write_dns: WriteDns | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runtime = runtime
        self._reconciler = reconciler
        self._orders: Orders | None = None
        if settings.acme_url is not None:
            authority = Authority(
                url=str(settings.acme_url),
                email=settings.acme_email,
                ca=settings.acme_ca,
                folder=home / FOLDER,
            )
            self._orders = Orders(
                home=home,
                authority=authority,
                runtime=runtime,
                dns=lambda: dns_solver(settings, reconciler.known, self._ask),
                on_change=self._on_order,
            )
            self._orders.prepare()
        self._certificates = CertificateReconciler(
            home=home,
            port=settings.tls_port,
            table=lambda: reconciler.known,
            orders=self._orders,
            on_change=on_change,
        )
        self._certificates.prepare()

    def parts(self, write_dns: WriteDns) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what runs until it is cancelled. `write_dns` has the control plane write a record
        of the DNS."""
        self._write_dns = write_dns
        self._loop = asyncio.get_running_loop()
        kept = self._certificates.run(self._runtime)
        return (kept, self._orders.run()) if self._orders else (kept,)

    def notify(self) -> None:
        """Resync where the table, or HAProxy, is another one."""
        self._certificates.resync_if_changed(self._reconciler.generation)

    def completed(self, status: Status) -> Status:
        """Add to the status how it stands with the certificates."""
        errors = [each for each in (status.error, self._certificates.error) if each]
        return status.model_copy(
            update={"certificates": self._certificates.states(), "error": "; ".join(errors)}
        )

    def _ask(self, asked: DnsAnswer) -> DnsState:
        """Ask the control plane from the thread of an order. Raise OrderFailed."""
        assert self._write_dns is not None and self._loop is not None
        answer = asyncio.run_coroutine_threadsafe(self._write_dns(asked), self._loop)
        try:
            return answer.result(ASK_SECONDS)
        except (ControlPlaneError, BadConfig, TimeoutError) as error:
            raise OrderFailed(f"the server does not write records now: {error}") from None

    def _on_order(self) -> None:
        self._certificates.notify()


def dns_solver(
    settings: Config, table: Table, ask: Callable[[DnsAnswer], DnsState]
) -> Solver | None:
    """Return what answers one order by DNS: a program that the settings name, else the control
    plane, where it does; None where nothing can."""
    program, seconds = settings.dns_hook, settings.dns_seconds
    if program is not None:
        return DnsHook(program, seconds=seconds)
    return DnsOfServer(ask) if table.solves_dns else None
