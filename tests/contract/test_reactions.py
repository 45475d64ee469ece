"""The table of reactions: each key is a state of its machine, or a word that is really said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.backends.states import CHECK
from apps.gateways.states import GATEWAY
from apps.hosts.states import HOST
from apps.instances.states import INSTANCE, WORKLOAD
from apps.runs.states import REPLICA, RUN
from dstack_web.reactions import REACTIONS

ROOT = Path(__file__).parents[2]
ALL = (CHECK, RUN, REPLICA, INSTANCE, WORKLOAD, GATEWAY, HOST)
MACHINES = {machine.name: machine for machine in ALL}


# What is told of a row though its state is the same -> where it is said.
SAID = {
    ("run", "scaled"): "apps/runs/scale/desired_replicas.py",
    ("run", "updated"): "apps/runs/rollout/versions.py",
    ("replica", "moved"): "apps/runs/control/replica_lifecycle.py",
    ("replica", "drained"): "apps/routing/gateway_api.py",
    ("replica", "waiting"): "apps/runs/control/replica_lifecycle.py",
    ("replica", "reached"): "apps/routing/gateway_api.py",
    ("replica", "cut"): "apps/routing/gateway_api.py",
    ("tunnel", "changed"): "apps/instances/tunnels/claims.py",
    ("instance", "interrupted"): "apps/instances/interruptions.py",
    ("instance", "measured"): "apps/instances/agents/reports.py",
    ("workload", "changed"): "apps/instances/agents/reports.py",
    ("endpoint", "held"): "apps/routing/gateway_api.py",
    ("endpoint", "counted"): "apps/telemetry/traffic/ingest.py",
    ("backend", "usable"): "apps/backends/connecting/rows.py",
    ("limits", "changed"): "apps/accounts/projects.py",
    ("grants", "changed"): "apps/accounts/services.py",
    ("chat_template", "read"): "apps/chat_templates/services.py",
    ("gateway", "asked"): "apps/gateways/records/keeping.py",
    ("certificate", "changed"): "apps/gateways/certificates.py",
}
CALL = re.compile(r"notifications\.transitioned,?\(?\s*([^,\s]+),\s*\"(\w+)\"")


def said_in(path: Path) -> set[tuple[str, str]]:
    """Return what is said there by `transitioned(MACHINE, "word", ...)`."""
    names = {f"states.{name.upper()}.name": name for name in MACHINES}
    found = CALL.findall(path.read_text())
    return {(names.get(machine, machine.strip('"')), word) for machine, word in found}


@pytest.mark.parametrize("key", sorted(REACTIONS), ids=" ".join)
def test_somebody_says_what_is_reacted_to(key: tuple[str, str]) -> None:
    machine, state = key

    if key in SAID:
        assert key in said_in(ROOT / SAID[key])
    else:
        assert state in MACHINES[machine].states


def test_every_reaction_is_a_task() -> None:
    names = [task.name for tasks in REACTIONS.values() for task in tasks]

    assert all(name.startswith("apps.") and ".tasks." in name for name in names)
    assert all(tasks for tasks in REACTIONS.values())
