"""The sidecar's parts, and how they hear of each other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway import config, own, sync
from gateway.control import ControlPlane
from gateway.directory import Directory
from gateway.haproxy import binary
from gateway.haproxy.config import SOCKET, Shape, metrics_key
from gateway.haproxy.runtime import Runtime
from gateway.hold import stranded
from gateway.hold.service import Holding
from gateway.openai.inner import Inner
from gateway.openai.service import OpenAi
from gateway.plane import Plane
from gateway.schema import Status
from gateway.store import Store
from gateway.supervise import Supervisor
from gateway.tgi.service import Adapter
from gateway.traffic.charges import Charges
from gateway.traffic.service import Traffic

if TYPE_CHECKING:
    from gateway.tls.service import Tls


class Sidecar:
    """Everything of one gateway but HAProxy itself. Paths are relative: it runs in its home."""

    def __init__(self, settings: config.Config, *, token_file: Path) -> None:
        self._settings = settings
        self._token_file = token_file
        self._home = home = Path()
        shape = Shape(
            tuple(settings.bind),
            settings.port,
            settings.slots,
            settings.thread_count,
            settings.tls_port,
            metrics_key(settings.metrics_token),
        )
        store = Store(home=home, shape=shape)
        store.prepare()
        self._runtime = runtime = Runtime(home / SOCKET)
        self._boot_id = uuid.uuid4().hex
        self._changed = asyncio.Event()
        self._plane = Plane(
            store=store,
            runtime=runtime,
            on_change=self._tell,
            own=(*own.of_machine(), *settings.hosts),
        )
        self._directory = Directory(self._plane)
        self._holding = Holding(
            runtime=runtime, places=self._directory, on_change=self._changed.set
        )
        self._charges = Charges(home=home, runtime=runtime, table=lambda: self._plane.known)
        self._tls = self._with_tls(runtime) if settings.tls_port else None
        self._supervisor = Supervisor(
            binary=binary.find(setting=settings.haproxy),
            home=home,
            shape=shape,
            runtime=runtime,
            plane=self._plane,
            on_start=self._charges.haproxy_started,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """This function will serve until `stopping` is set. Raises GatewayError, OSError."""
        await self._supervisor.begin()
        inner = Inner()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            url = str(self._settings.control_url)
            control = ControlPlane(session=session, url=url, token_file=self._token_file)
            translator = Adapter()
            traffic = Traffic(
                home=self._home,
                runtime=self._runtime,
                control=control,
                table=lambda: self._plane.known,
                layout=lambda: self._plane.layout,
                held=self._holding.held,
            )
            openai = OpenAi(
                directory=self._directory,
                inner=inner,
                translator=translator,
                count_tokens=traffic.count_tokens,
            )
            parts: tuple[Coroutine[Any, Any, None], ...] = (
                self._plane.run(),
                self._supervisor.run(),
                self._supervisor.keep_log_short(),
                self._holding.run(self._home),
                stranded.move(runtime=self._runtime, slots=self._directory.bounded_slots),
                openai.run(self._home),
                translator.run(),
                traffic.run(),
                self._charges.run(),
                sync.follow(control=control, plane=self._plane),
                sync.report(control=control, status=self._status, changed=self._changed),
            )
            parts += self._tls.parts() if self._tls else ()
            tasks = [group.create_task(part) for part in parts]
            await stopping.wait()
            for task in tasks:
                task.cancel()
        await inner.close()
        await self._charges.look()
        # Only here: after a fault of ours HAProxy goes on, and the next sidecar takes it over.
        await self._supervisor.stop()

    def _status(self) -> Status:
        status = self._plane.status(boot_id=self._boot_id, held=self._holding.held())
        return self._tls.completed(status) if self._tls else status

    def _with_tls(self, runtime: Runtime) -> Tls:
        # Only here: what speaks to ACME servers costs a gateway without TLS 16 MB and 0.3 s.
        made: Tls = import_module("gateway.tls.service").Tls(
            self._settings,
            home=self._home,
            runtime=runtime,
            plane=self._plane,
            on_change=self._changed.set,
        )
        return made

    def _tell(self) -> None:
        self._changed.set()
        self._holding.look()
        if self._tls is not None:
            self._tls.look()
