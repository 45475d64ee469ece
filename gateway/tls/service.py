"""TLS of one gateway: certificates in HAProxy, and orders for those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.haproxy.reconciler import Reconciler
from gateway.haproxy.runtime import Runtime
from gateway.schema import Status
from gateway.tls.authority import Authority
from gateway.tls.challenges import DnsHook, Solver
from gateway.tls.orders import FOLDER, Orders
from gateway.tls.reconciler import CertificateReconciler


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
                dns=dns_solvers(settings),
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

    def parts(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what runs until it is cancelled."""
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

    def _on_order(self) -> None:
        self._certificates.notify()


def dns_solvers(settings: Config) -> Callable[[], Solver] | None:
    """Return what makes an answerer for each order by DNS, None where the settings name none."""
    program, seconds = settings.dns_hook, settings.dns_seconds
    if program is None:
        return None
    return lambda: DnsHook(program, seconds=seconds)
