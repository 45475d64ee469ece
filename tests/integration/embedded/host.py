"""A program for the tests: a supervisor over small children, `host.py HOME CHILDREN_JSON`.

CHILDREN_JSON is a list of {"name", "argv"}, perhaps with "if_dead"; the program says "ready" once
all have started.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from dstack_web.embedded import leftovers
from dstack_web.embedded.children import Child
from dstack_web.embedded.home import Home
from dstack_web.embedded.supervisor import StopRequested, Supervisor
from dstack_web.embedded.up import say


def main() -> None:
    home = Home(Path(sys.argv[1]))
    home.prepare()
    lock = home.lock()
    leftovers.end(home.folder("run") / "children.json")
    supervisor = Supervisor(home=home, say=say)
    supervisor.take_signals()
    env = {"PATH": os.environ["PATH"]}
    children = [Child(env=env, stop_seconds=1, **entry) for entry in json.loads(sys.argv[2])]
    try:
        for child in children:
            supervisor.start(child)
        say("ready")
        supervisor.watch()
    except StopRequested:
        say("stopping")
    supervisor.stop([[child.name for child in children]])
    os.close(lock)


if __name__ == "__main__":
    main()
