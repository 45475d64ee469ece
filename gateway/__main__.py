"""`python -m gateway`: the data plane of one gateway, until SIGTERM or SIGINT.

Settings: `gateway.config`. Files: `gateway.haproxy.store`. Alive: GET /-/healthz on 127.0.0.1:PORT.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from gateway import config
from gateway.errors import GatewayError
from gateway.haproxy import store
from gateway.sidecar import Sidecar

# A request that is held takes two, and another one with its body on disk.
OPEN_FILES = 65_536


def main() -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        settings = config.load(environ=os.environ)
        prepare_home(settings.home)
        allow_open_files()
        asyncio.run(serve(settings))
    except (GatewayError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


def prepare_home(home: Path) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)


def allow_open_files() -> None:
    """Take as many as this user may have, which the default is far below."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def serve(settings: config.Config) -> None:
    """Serve until a signal asks for the end; raises GatewayError, OSError."""
    token_file = settings.token_file.absolute()
    config.read_token(token_file)
    if settings.haproxy is not None:
        settings = settings.model_copy(update={"haproxy": settings.haproxy.absolute()})
    # In its home a socket's path is short and plain, whatever the home is called.
    os.chdir(settings.home)
    taken = store.lock(Path())
    await Sidecar(settings, token_file=token_file).run(on_stop_signal())
    os.close(taken)


def on_stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


if __name__ == "__main__":
    sys.exit(main())
