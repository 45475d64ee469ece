"""TLS of one gateway: certificates in HAProxy, and orders for those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.config import Config
from gateway.haproxy.runtime import Runtime
from gateway.plane import Plane
from gateway.schema import Status
from gateway.tls.authority import Authority
from gateway.tls.keeper import Keeper
from gateway.tls.orders import FOLDER, Orders


class Tls:
    """`on_change` is called when the status may have changed."""

    def __init__(
        self,
        settings: Config,
        *,
        home: Path,
        runtime: Runtime,
        plane: Plane,
        on_change: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._plane = plane
        self._orders: Orders | None = None
        if settings.acme_url is not None:
            authority = Authority(
                url=str(settings.acme_url),
                email=settings.acme_email,
                ca=settings.acme_ca,
                folder=home / FOLDER,
            )
            self._orders = Orders(
                home=home, authority=authority, runtime=runtime, on_change=self._on_order
            )
            self._orders.prepare()
        self._keeper = Keeper(
            home=home,
            port=settings.tls_port,
            table=lambda: plane.known,
            orders=self._orders,
            on_change=on_change,
        )
        self._keeper.prepare()

    def parts(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """This function will return what runs until it is cancelled."""
        kept = self._keeper.run(self._runtime)
        return (kept, self._orders.run()) if self._orders else (kept,)

    def look(self) -> None:
        """This function will look whether the table, or HAProxy, is another one."""
        self._keeper.look(self._plane.generation)

    def completed(self, status: Status) -> Status:
        """This function will add to the status how it stands with the certificates."""
        errors = [each for each in (status.error, self._keeper.error) if each]
        return status.model_copy(
            update={"certificates": self._keeper.states(), "error": "; ".join(errors)}
        )

    def _on_order(self) -> None:
        self._keeper.poke()
