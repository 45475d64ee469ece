"""`python -m gateway`: the data plane of one gateway, until SIGTERM or SIGINT.

Settings: `gateway.config`. Files: `gateway.store`. Alive: GET /-/healthz on 127.0.0.1:PORT.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import uuid
from pathlib import Path

import aiohttp

from gateway import config, store, sync
from gateway.control import ControlPlane
from gateway.errors import GatewayError
from gateway.haproxy import binary
from gateway.haproxy.config import SOCKET, Shape
from gateway.haproxy.runtime import Runtime
from gateway.plane import Plane
from gateway.store import Store
from gateway.supervise import Supervisor


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        settings = config.load(environ=os.environ)
        prepare_home(settings.home)
        asyncio.run(serve(settings))
    except (GatewayError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


def prepare_home(home: Path) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)


async def serve(settings: config.Config) -> None:
    """This function will serve until a signal asks for the end; raises GatewayError, OSError."""
    program = binary.find(setting=settings.haproxy)
    token_file = settings.token_file.absolute()
    config.read_token(token_file)
    # In its home a socket's path is short and plain, whatever the home is called.
    os.chdir(settings.home)
    home = Path()
    taken = store.lock(home)
    shape = Shape(tuple(settings.bind), settings.port, settings.slots, settings.thread_count)
    files = Store(home=home, shape=shape)
    files.prepare()
    changed = asyncio.Event()
    runtime = Runtime(home / SOCKET)
    plane = Plane(store=files, runtime=runtime, on_change=changed.set)
    supervisor = Supervisor(binary=program, home=home, shape=shape, runtime=runtime, plane=plane)
    stopping = on_stop_signal()
    await supervisor.begin()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        url = str(settings.control_url)
        control = ControlPlane(session=session, url=url, token_file=token_file)
        boot_id = uuid.uuid4().hex
        tasks = [
            group.create_task(plane.run()),
            group.create_task(supervisor.run()),
            group.create_task(supervisor.keep_log_short()),
            group.create_task(sync.follow(control=control, plane=plane)),
            group.create_task(
                sync.report(control=control, plane=plane, boot_id=boot_id, changed=changed)
            ),
        ]
        await stopping.wait()
        for task in tasks:
            task.cancel()
    # Only here: after a fault of ours HAProxy goes on, and the next sidecar takes it over.
    await supervisor.stop()
    os.close(taken)


def on_stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


if __name__ == "__main__":
    sys.exit(main())
