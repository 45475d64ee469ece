"""Replicas' networks beside an engine that drops what its own rules do not let pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.agent import engine_hosts
from tests.integration.agent.engine_hosts import EngineOfAHost
from tests.integration.agent.running import ROOT

pytestmark = engine_hosts.needs_engine

HOST = "dstack-beside"
# It opens the network and makes one, waits for a line, then calls another host from inside.
AGENT = """
import json, subprocess, sys, tempfile
from pathlib import Path
from apps.agent.host import users
from apps.agent.isolation import sandbox
from apps.agent.isolation.network import Network
network = Network(Path(tempfile.mkdtemp()), home_id="abcde12345")
network.open()
inside = network.make(uid=users.FIRST_UID + 1, port=8000)
print("open", flush=True)
sys.stdin.readline()
network.let_pass()
network.let_pass()
connect = "import socket; socket.create_connection(('192.0.2.202', 8000), 3)"
enter = lambda: sandbox.call("setns", inside.namespace, sandbox.CLONE_NEWNET)
asked = subprocess.run([sys.executable, "-c", connect], preexec_fn=enter, capture_output=True)
rules = lambda: subprocess.run(
    ["iptables", "-S", "DOCKER-USER"], capture_output=True, text=True
).stdout.count("dskabcde")
during = rules()
network.close()
print(json.dumps({"reached": asked.returncode == 0, "during": during, "after": rules()}))
"""


@pytest.fixture
def engine() -> Iterator[EngineOfAHost]:
    """An engine that was not started, on a host of its own."""
    with engine_hosts.host_with_engine(HOST) as engine:
        yield engine


def drops_what_is_passed_on() -> bool:
    argv = [*engine_hosts.within(HOST), "iptables", "-S", "FORWARD"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return "-P FORWARD DROP" in said


@pytest.mark.parametrize("first", ["engine", "agent"])
def test_lets_replicas_reach_other_hosts_whichever_starts_first(
    engine: EngineOfAHost, first: str
) -> None:
    if first == "engine":
        engine.start()
    agent = subprocess.Popen(
        [*engine_hosts.within(HOST), sys.executable, "-c", AGENT],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    assert agent.stdout.readline() == "open\n"
    if first == "agent":
        engine.start()
    assert drops_what_is_passed_on()

    said: dict[str, Any] = json.loads(agent.communicate("go\n", timeout=60)[0])

    assert said == {"reached": True, "during": 2, "after": 0}
