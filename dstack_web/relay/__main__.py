"""`python -m dstack_web.relay`: keeps a way open from each gateway on a machine to this server,
while machines cannot call it themselves. Until SIGTERM."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path

import django


def main() -> int:
    django.setup()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # Only here: it loads models.
    made = import_module("dstack_web.relay.relay").Relay
    # Of a short path, as sockets want it.
    with tempfile.TemporaryDirectory(prefix="dstack-relay-") as name:
        made(Path(name)).run(stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
