from __future__ import annotations

import json

from apps.agent import wire
from apps.agent.workloads import record

PROBE = wire.ProbeSpec(kind="http", url="/health", headers=[("Authorization", "geheim1")])
SPEC = wire.WorkloadSpec(
    id="w",
    name="w",
    commands=["serve"],
    env={"TOKEN": "geheim2"},
    registry_username="bob",
    registry_password="geheim3",
    probes=[PROBE, wire.ProbeSpec()],
    memory_limit_mib=64,
)


def test_keeps_no_secret() -> None:
    stored = record.kept(SPEC)

    assert "geheim" not in json.dumps(stored)
    assert record.missing(stored) == {"env", "registry_password", "probes"}


def test_is_whole_again_with_what_the_server_says() -> None:
    stored = record.kept(SPEC)
    spec = wire.from_json(wire.WorkloadSpec, json.loads(json.dumps(stored)))

    assert spec.memory_limit_mib == 64
    assert record.whole_again(spec, SPEC, record.missing(stored)) == SPEC


def test_says_that_nothing_is_missing_where_nothing_was_cut() -> None:
    plain = wire.WorkloadSpec(id="w", name="w")

    assert record.missing(record.kept(plain)) == frozenset()
    # What an older agent wrote is whole.
    assert record.missing(wire.to_json(SPEC)) == frozenset()
    assert record.missing(None) == frozenset()
