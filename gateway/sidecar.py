"""The sidecar's parts, and how they hear of each other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway import config
from gateway.browsers import Browsers
from gateway.control import pulse, sync
from gateway.control.client import ControlPlane, connector
from gateway.haproxy import binary
from gateway.haproxy.config import SOCKET, Shape, metrics_key
from gateway.haproxy.reconciler import Reconciler
from gateway.haproxy.runtime import Runtime
from gateway.haproxy.store import Store
from gateway.haproxy.supervisor import Supervisor
from gateway.hold import requeue
from gateway.hold.service import HoldService
from gateway.openai.inner import InnerClient
from gateway.openai.service import OpenAi
from gateway.schema import Status
from gateway.state import own_names
from gateway.state.lookup import Directory
from gateway.tgi.service import Adapter
from gateway.traffic.rate_limit_snapshot import RateLimitSnapshots
from gateway.traffic.service import Traffic
from gateway.tunnels.service import Tunnels

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
            settings.ssh_port,
        )
        store = Store(home=home, shape=shape)
        store.prepare()
        self._runtime = runtime = Runtime(home / SOCKET)
        self._boot_id = uuid.uuid4().hex
        self._changed = asyncio.Event()
        self._tunnels = Tunnels(
            home=home,
            port=settings.ssh_port,
            table=lambda: self._reconciler.known,
            on_change=self._changed.set,
            withdraw=lambda addresses: self._reconciler.withdraw(addresses),
        )
        self._reconciler = Reconciler(
            store=store,
            runtime=runtime,
            on_change=self._notify,
            why_not=self._tunnels.why_not,
            own=(*own_names.of_machine(), *settings.hosts),
        )
        self._directory = Directory(self._reconciler)
        self._hold = HoldService(
            runtime=runtime, routes=self._directory, on_change=self._changed.set
        )
        self._rate_limits = RateLimitSnapshots(
            home=home, runtime=runtime, table=lambda: self._reconciler.known
        )
        self._tls = self._with_tls(runtime) if settings.tls_port else None
        self._supervisor = Supervisor(
            binary=binary.find(setting=settings.haproxy),
            home=home,
            shape=shape,
            runtime=runtime,
            reconciler=self._reconciler,
            on_start=self._rate_limits.haproxy_started,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set. Raise GatewayError, OSError."""
        await self._supervisor.begin()
        inner = InnerClient()
        way = connector(authority=self._settings.control_ca)
        async with aiohttp.ClientSession(connector=way) as session, asyncio.TaskGroup() as group:
            url = str(self._settings.control_url)
            control = ControlPlane(session=session, url=url, token_file=self._token_file)
            translator = Adapter()
            traffic = Traffic(
                home=self._home,
                runtime=self._runtime,
                control=control,
                table=lambda: self._reconciler.known,
                layout=lambda: self._reconciler.layout,
                held=self._hold.held,
            )
            openai = OpenAi(
                directory=self._directory,
                inner=inner,
                translator=translator,
                count_tokens=traffic.count_tokens,
            )
            browsers = Browsers(control=control, applied=lambda: self._reconciler.applied)
            parts: tuple[Coroutine[Any, Any, None], ...] = (
                pulse.run(),
                self._reconciler.run(),
                self._supervisor.run(),
                self._supervisor.rotate_log(),
                self._hold.run(self._home),
                requeue.run(runtime=self._runtime, slots=self._directory.bounded_slots),
                openai.run(self._home),
                browsers.run(self._home),
                translator.run(),
                traffic.run(),
                self._rate_limits.run(),
                sync.poll_table(control=control, reconciler=self._reconciler),
                sync.report(control=control, status=self._status, changed=self._changed),
            )
            parts += self._tls.parts(control.dns) if self._tls else ()
            parts += (self._tunnels.run(),) if self._settings.ssh_port else ()
            tasks = [group.create_task(part) for part in parts]
            await stopping.wait()
            for task in tasks:
                task.cancel()
        await inner.close()
        await self._rate_limits.scrape()
        # Only here: after a fault of ours HAProxy goes on, and the next sidecar takes it over.
        await self._supervisor.stop()
        self._tunnels.stop()

    def _status(self) -> Status:
        status = self._reconciler.status(boot_id=self._boot_id, held=self._hold.held())
        status = self._tunnels.completed(status)
        return self._tls.completed(status) if self._tls else status

    def _with_tls(self, runtime: Runtime) -> Tls:
        # Only here: what speaks to ACME servers costs a gateway without TLS 16 MB and 0.3 s.
        made: Tls = import_module("gateway.tls.service").Tls(
            self._settings,
            home=self._home,
            runtime=runtime,
            reconciler=self._reconciler,
            on_change=self._changed.set,
        )
        return made

    def _notify(self) -> None:
        self._changed.set()
        self._hold.notify()
        self._tunnels.notify()
        if self._tls is not None:
            self._tls.notify()
