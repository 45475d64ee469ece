"""A program for the tests: a supervisor over small children, `host.py HOME CHILDREN_JSON`.

CHILDREN_JSON is a list of {"name", "argv"}, perhaps with "if_dead" and "watch" (for a pulse); the
one named postgres is a real one. The program says "ready" once all have started.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from dstack_web.embedded import addresses, children, leftovers
from dstack_web.embedded.children import Child, Plan
from dstack_web.embedded.home import Home, Secrets
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.sockets import socket_folder
from dstack_web.embedded.supervisor import StopRequested, Supervisor
from dstack_web.embedded.up import say
from dstack_web.embedded.watch import Watch
from dstack_web.front.room import Room


def main() -> None:
    home = Home(Path(sys.argv[1]))
    home.prepare()
    lock = home.lock()
    leftovers.end(home.folder("run") / "children.json")
    supervisor = Supervisor(home=home, say=say)
    supervisor.take_signals()
    env = {"PATH": os.environ["PATH"]}
    described = [made(home, env=env, **entry) for entry in json.loads(sys.argv[2])]
    try:
        for child in described:
            supervisor.start(child)
        say("ready")
        supervisor.watch()
    except StopRequested:
        say("stopping")
    supervisor.stop([[child.name for child in described]])
    os.close(lock)


def made(home: Home, *, name: str, watch: dict[str, float] | None, **entry: Any) -> Child:
    if name == "postgres":
        return postgres(home)
    asked = Watch(**watch) if watch else None  # type: ignore[arg-type]  # misses is a number, too
    return Child(name=name, stop_seconds=1, watch=asked, **entry)


def postgres(home: Home) -> Child:
    """The very description of the product, with the sockets in the home."""
    server = Postgres(data=home.folder("pg"), sockets=socket_folder(home.folder("run")))
    server.prepare()
    plan = Plan(
        home=home,
        addresses=addresses.from_environment({}),
        secrets=Secrets(secret_key="", encryption_keys=[], gateway_token=""),
        environ=os.environ,
        postgres=server,
        valkey=None,
        static_root=home.root,
        sockets=server.sockets,
        room=Room(connections=100, per_address=60),
    )
    return children.servers(plan)[0]


if __name__ == "__main__":
    main()
