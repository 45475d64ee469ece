"""The command of the web server behind the proxy."""

from __future__ import annotations

import sys
from pathlib import Path

from dstack_web.front.room import Room

# A socket that a killed server left would be in the way of the next one.
AFRESH = ["/bin/sh", "-c", 'rm -f -- "$0" && exec "$@"']


def argv(*, socket: Path, static_root: Path, room: Room, kill_seconds: int) -> list[str]:
    """Return the command that serves Django on `socket`, which only this user may use."""
    bind = ["--uds", str(socket), "--uds-permissions", "0600"]
    # One loop in one process is plenty for a dashboard, and half the memory of two.
    size = ["--workers", "1", "--runtime-mode", "st", "--loop", "asyncio", "--no-ws"]
    # Live streams are requests under way. The proxy bounds them, so that nothing waits unseen here.
    many = ["--backlog", "4096", "--backpressure", str(room.connections + 100)]
    static = ["--static-path-route", "/static", "--static-path-mount", str(static_root)]
    respawn = ["--respawn-failed-workers", "--workers-kill-timeout", str(kill_seconds)]
    python = [sys.executable, "-P", "-m", "granian", "--interface", "asginl"]
    quiet = ["--log-level", "warning"]
    words = [*python, *bind, *size, *many, *static, *respawn, *quiet]
    return [*AFRESH, str(socket), *words, "dstack_web.asgi:application"]
